"""What a caller may see and create: rows AZ1 to AZ9."""

import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from gateway.web.public_routes import public_routes
from tests.conftest import Client
from tests.fake_upstream import Q
from tests.faults.conftest import OpenWorld, World, refused
from tests.faults.wire import Answer, draft, get, head, post
from tests.scripted_upstream import response

ONLY_VEO3 = "models: {allow: [Veo3]}\n"
NO_MODELS = [
    *("Veo3-Fast", "veo3", "VEO3", "Veo3 ", " Veo3", "Veo3\u0000", "Veo3\n", "Veo3\u200b"),
    *("\uff36\uff45\uff4f\uff13", "Ve\u006f\u03013", "", "*", "V?o3", "x" * 100_000),
]


async def first_job(client: Client) -> str:
    created = await client.create()
    assert created.status_code == 200
    return str(created.json()["request_id"])


def as_a_stranger_sees(response: httpx.Response) -> tuple[int, set[str], dict[str, Any]]:
    answer = Answer.of(response)
    if answer.body:
        refused(answer, 404, "request_not_found")
    body = answer.json if answer.body else {}
    body.pop("request_id", None)
    return answer.status, set(answer.headers), body


@pytest.mark.parametrize("seen", [False, True], ids=["never-polled", "cached"])
async def test_az1_a_strangers_job_is_as_good_as_none(world: World, seen: bool) -> None:  # noqa: FBT001 - a parameter
    job = await first_job(world.a)
    etag = (await world.a.get(f"{Q}/requests/{job}")).headers["etag"] if seen else '"none"'
    before = len(world.upstream.received)
    for headers in ({}, {"If-None-Match": etag}, {"If-None-Match": "*"}, {"Prefer": "wait=5"}):
        for method in ("GET", "HEAD", "DELETE"):
            theirs = await world.b.call(method, f"{Q}/requests/{job}", headers=headers)
            nobodys = await world.b.call(method, f"{Q}/requests/{uuid4()}", headers=headers)
            assert theirs.status_code == 404
            assert as_a_stranger_sees(theirs) == as_a_stranger_sees(nobodys)
            assert theirs.headers["content-length"] == nobodys.headers["content-length"]
    assert len(world.upstream.received) == before
    assert (await world.b.get(f"{Q}/requests")).json() == {"requests": [], "has_more": False, "total": 0}
    assert await world.books("b") == (0, 0, 0)
    await world.created()


async def test_az3_what_upstream_knows_and_the_ledger_does_not_is_not_there(world: World) -> None:
    job = str(uuid4())
    world.upstream.jobs[job] = {"request_id": job, "status": "success", "model": "Veo3"}
    for client in (world.a, world.b):
        refused(Answer.of(await client.get(f"{Q}/requests/{job}")), 404, "request_not_found")
    assert world.upstream.received == []


async def test_az3_without_a_ledger_nobody_owns_anything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await first_job(world.a)
    assert (await world.a.get(f"{Q}/requests/{job}")).status_code == 200
    monkeypatch.setattr("gateway.memory.OWNER_TRUSTED_FOR", 0.0)
    before = len(world.upstream.received)
    await world.house.gw.ledger.close()
    for client, identifier in ((world.a, job), (world.b, job), (world.b, str(uuid4()))):
        refused(Answer.of(await client.get(f"{Q}/requests/{identifier}")), 503, "ledger_unavailable")
    assert len(world.upstream.received) == before


async def test_az3_an_owner_known_for_less_than_a_minute_needs_no_ledger(world: World) -> None:
    job = await first_job(world.a)
    await world.house.gw.ledger.close()
    assert (await world.a.get(f"{Q}/requests/{job}")).json()["request_id"] == job
    for identifier in (job, str(uuid4())):
        refused(Answer.of(await world.b.get(f"{Q}/requests/{identifier}")), 503, "ledger_unavailable")


async def test_az4_a_model_outside_the_policy_is_refused_by_any_name(open_world: OpenWorld) -> None:
    world = await open_world(a=ONLY_VEO3)
    for model in NO_MODELS:
        refused(await world.keeping(post(draft(model))), 403, "model_not_allowed")
        if 0 < len(model) < 1000:
            refused(await world.keeping(get(f"{Q}/models/{quote(model, safe='')}")), 403, "model_not_allowed")
    await world.untouched()
    assert world.upstream.received == []


async def test_az4_a_model_that_is_no_text_is_malformed(open_world: OpenWorld) -> None:
    world = await open_world(a=ONLY_VEO3)
    for model in (["Veo3"], None, 7, {"id": "Veo3"}, True):
        body = json.dumps({"model": model, "payload": {}}).encode()
        refused(await world.keeping(post(body)), 400, "invalid_request")
    await world.untouched()


async def test_az4_the_listing_shows_what_can_be_created(open_world: OpenWorld) -> None:
    world = await open_world(a=ONLY_VEO3)
    assert (await world.a.get(f"{Q}/models")).json() == {"model_ids": ["Veo3"], "object": "list"}
    assert (await world.b.get(f"{Q}/models")).json()["model_ids"] == world.upstream.models
    assert (await world.a.get(f"{Q}/models/Veo3")).status_code == 200
    assert (await world.a.create("Veo3")).status_code == 200


AMBIGUOUS = {
    "case": b'{"model":"Veo3","Model":"Veo3-Fast","payload":{}}',
    "case-first": b'{"MODEL":"Veo3","payload":{}}',
    "twice": b'{"model":"Veo3","model":"Veo3-Fast","payload":{}}',
    "escaped": rb'{"model":"Veo3","mod\u0065l":"Veo3-Fast","payload":{}}',
    "payload-twice": b'{"model":"Veo3","payload":{},"payload":{"durationSeconds":8}}',
    "priced-twice": b'{"model":"Veo3","payload":{"durationSeconds":1,"durationSeconds":8}}',
    "priced-escaped": rb'{"model":"Veo3","payload":{"durationSeconds":1,"duration\u0053econds":8}}',
    "deep-twice": b'{"model":"Veo3","payload":{"a":[{"b":1,"b":2}]}}',
}
RULES = "payload:\n  - {models: [Veo3], parameters: {personGeneration: {one_of: [dont_allow]}}}\n"
PRICES = "prices: [{models: [Veo3], usd: 0.4, per: second, seconds: durationSeconds, default_seconds: 8}]\n"


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_az5_what_two_parsers_could_read_differently_is_refused(world: World, body: bytes) -> None:
    refused(await world.keeping(post(body)), 400, "invalid_request")
    await world.untouched()


@pytest.mark.parametrize("name", ["durationseconds", "duration_Seconds", "DURATIONSECONDS", "persongeneration"])
async def test_az5_a_priced_or_ruled_parameter_has_one_spelling(open_world: OpenWorld, name: str) -> None:
    world = await open_world(a=RULES, files={"gateway.yaml": PRICES})
    answer = await world.keeping(post(draft("Veo3", **{name: 8})))
    refused(answer, 400, "payload_rejected")
    assert answer.json["parameter"] == name
    await world.untouched()


async def test_az6_a_field_upstream_might_obey_is_refused_by_name(world: World) -> None:
    for name in ("org_id", "is_public", "api_base", "callback_url", "user", "priority", "", "status"):
        body = json.dumps({"model": "Veo3", name: "x", "payload": {}}).encode()
        answer = await world.keeping(post(body))
        refused(answer, 400, "invalid_request")
        assert f"`{name}`" in answer.json["error"]
    await world.untouched()


async def test_az7_upstream_cannot_give_away_another_teams_job(world: World) -> None:
    job = await first_job(world.b)
    record = json.dumps({"request_id": job, "model": "Veo3", "status": "queued", "org_id": "canary-org"}).encode()
    world.upstream.answers["POST", f"{Q}/requests"] = response(record)
    refused(Answer.of(await world.a.create()), 502, "upstream_invalid")
    assert (await world.books("a"), await world.books("b")) == ((1, 1, 1), (1, 1, 0))
    assert len(world.upstream.creates) == 2
    assert (await world.a.get(f"{Q}/requests/{job}")).status_code == 404
    assert (await world.b.get(f"{Q}/requests/{job}")).status_code == 200


@pytest.mark.parametrize("status", [400, 402, 404, 409, 413, 422, 429, 500, 503])
async def test_az7_an_error_cannot_give_away_another_teams_job(
    world: World, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    job = await first_job(world.b)
    owner = await world.house.gw.ledger.owner_of(job)
    body = json.dumps({"error": "refused", "request_id": job}).encode()
    world.upstream.answers["POST", f"{Q}/requests"] = response(body, f"{status} No", f"X-Job-Id: {job}")
    answer = Answer.of(await world.a.create(headers={"Idempotency-Key": "k"}))
    refused(answer, 502, "upstream_invalid")
    assert job not in str(answer)
    assert [each.levelname for each in caplog.records if each.message == "upstream named another team's job"] == [
        "ERROR"
    ]
    assert await world.books("a") in ([(0, 0, 0)] if status < 500 else [(1, 1, 1), (0, 0, 0)])
    assert await world.books("b") == (1, 1, 0)
    assert await world.house.gw.ledger.owner_of(job) == owner
    again = Answer.of(await world.a.create(headers={"Idempotency-Key": "k"}))
    assert job not in str(again)
    assert (await world.a.get(f"{Q}/requests/{job}")).status_code == 404


async def test_az7_a_refusal_may_name_a_job_of_the_teams_own(world: World) -> None:
    job = await first_job(world.a)
    body = json.dumps({"error": "a duplicate", "request_id": job}).encode()
    world.upstream.answers["POST", f"{Q}/requests"] = response(body, "409 Conflict")
    answer = Answer.of(await world.a.create())
    assert (answer.status, answer.body) == (409, body)
    assert await world.books("a") == (1, 1, 0)


async def test_az8_the_admin_pages_are_not_on_the_public_listener(world: World) -> None:
    for path in (
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/teams",
        "/api/policies",
        "/api/usage",
        "/reload",
        "/policies",
    ):
        for method in ("GET", "POST", "PUT", "PATCH"):
            refused(await world.keeping(head(method, path)), 404, "unknown_route")


def test_az8_no_route_writes_a_policy() -> None:
    methods = {(route.label, method) for route in public_routes().routes for method in route.methods}
    assert {method for _, method in methods} == {"GET", "HEAD", "POST", "PUT", "DELETE"}
    changing = {each for each in methods if each[1] in ("POST", "PUT", "DELETE")}
    assert changing == {
        ("/requests", "POST"),
        ("/requests/{id}", "DELETE"),
        ("/upload-url", "POST"),
        ("/gateway/v1/uploads/{token}", "PUT"),
        ("/gateway/v1/explain", "POST"),
    }


async def test_az9_an_idempotency_key_is_each_teams_own(world: World) -> None:
    same = {"Idempotency-Key": "order-1"}
    mine, theirs = await world.a.create(headers=same), await world.b.create(headers=same)
    assert mine.json()["request_id"] != theirs.json()["request_id"]
    assert "idempotency-replayed" not in theirs.headers
    again = await world.a.create(headers=same)
    assert again.content == mine.content
    assert again.headers["idempotency-replayed"] == "true"
    assert len(world.upstream.creates) == 2
    assert (await world.books("a"), await world.books("b")) == ((1, 1, 0), (1, 1, 0))
