"""A team's receiver is told how its job ended: once where nothing fails, and in the end whatever fails."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from gateway import duties, outbound, webhooks
from gateway.core.addresses import Target
from gateway.core.lifecycle import Outcome
from gateway.core.webhooks import Standing
from gateway.ledger.delivery_values import DeliveryState, Notice, Wanted
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.outbox import Outbox
from gateway.ledger.values import Sighting
from gateway.logs import logger
from gateway.outbound import Endpoint, Outside
from gateway.simulator import Settings, Simulator
from gateway.starting import StartError
from gateway.upstream.credentials import Secret
from tests.clocks import WallClock, wall_clock
from tests.conftest import HOOK_SECRET, REAL_KEY, House, OpenHouse, Q, team
from tests.ledger.samples import run_sql
from tests.policy_texts import policy
from tests.postgres import Server, postgres
from tests.receiver import HOST, WEBHOOKS, certificates, outside, port_of, tls, trusting
from tests.scripted_upstream import Connection, Received, Script, ScriptedUpstream, answering, response
from tests.served import environment_of, eventually, served

__all__ = ["certificates", "postgres", "trusting", "wall_clock"]

POLICY = {"a.yaml": team("a", "key", WEBHOOKS)}
HEADERS = {"X-Gateway-Webhook": f"https://{HOST}/in?token=t0ken"}
TAKEN = response(b"{}")
SHELTERED = "tests.sheltered"


@pytest.fixture
async def receiver(trusting: Path) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(answering(TAKEN), tls=tls(trusting)) as receiver:
        yield receiver


def check(request: Received) -> Any:
    """The event of a delivery whose signature is right, by the word of the specification's own library."""
    return Webhook(HOOK_SECRET).verify(request.body, dict(request.headers))


async def told(house: House) -> list[DeliveryState]:
    found, total = await house.gw.ledger.outbox.page(Wanted())
    assert len(found) == total
    return found


async def stands(house: House, standing: Standing, count: int = 1) -> bool:
    return [each.standing for each in await told(house)] == [standing] * count


async def hurry(house: House) -> None:
    """Make what waits for its next attempt due now, as time would."""
    for each in await told(house):
        if each.standing is Standing.DUE:
            await house.gw.ledger.outbox.redeliver([each.id], house.gw.now())


async def ended(house: House, request_id: str) -> Any:
    """The job's terminal record, as a client gets it."""

    async def terminal() -> bool:
        answer = await house.client("key").get(f"{Q}/requests/{request_id}")
        return answer.json()["status"] in ("success", "failed", "cancelled")

    await house.eventually(terminal)
    return (await house.client("key").get(f"{Q}/requests/{request_id}")).content


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
@pytest.mark.parametrize(("model", "outcome"), [("Veo3", "success"), ("luma-ray-2", "failed")])
async def test_the_end_of_a_job_is_told_with_its_record_and_a_signature(
    open_house: OpenHouse,
    receiver: ScriptedUpstream,
    request: pytest.FixtureRequest,
    backend: str,
    outcome: str,
    model: str,
) -> None:
    server: Server | None = request.getfixturevalue("postgres") if backend == "postgresql" else None
    settings = {} if server is None else {"ledger": server.ledger()}
    house = await open_house(POLICY, outside=outside(receiver), **settings)
    created = await house.client("key").create(model, headers=HEADERS)
    assert created.status_code == 200, created.text
    await house.eventually(lambda: stands(house, Standing.DELIVERED), 15)
    record = await ended(house, created.json()["request_id"])
    (request_,) = receiver.requests
    event = check(request_)
    assert (request_.method, request_.target) == ("POST", "/in?token=t0ken")
    assert request_.header("content-type") == "application/json"
    assert list(event) == ["type", "timestamp", "data"]
    assert event["type"] == f"request.{outcome}"
    assert request_.body.endswith(b'"data":' + record.strip() + b"}")
    (row,) = await told(house)
    assert (row.kind, row.team, row.host, row.attempts, row.status) == ("job", "a", HOST, 1, 200)
    assert row.request_id == created.json()["request_id"]


async def test_up11_the_job_of_a_refused_create_is_told_and_listed_with_its_reason(
    open_house: OpenHouse, receiver: ScriptedUpstream
) -> None:
    house = await open_house(POLICY, outside=outside(receiver), speed=100)
    client = house.client("key")
    refused = await client.create("bria-genfill", {}, headers=HEADERS)
    assert refused.status_code == 400
    job = refused.json()["request_id"]
    await house.eventually(lambda: stands(house, Standing.DELIVERED))
    event = check(receiver.requests[0])
    assert event["type"] == "request.failed"
    assert event["data"] | {"request_id": job, "model": "bria-genfill", "status": "failed"} == event["data"]
    assert event["data"]["outcome"] == {"error": refused.json()["error"]}
    page = (await client.get(f"{Q}/requests")).json()
    assert (page["requests"], page["total"]) == ([event["data"]], 1)
    by_id = (await client.get(f"{Q}/requests/{job}")).json()
    assert (by_id["status"], by_id["payload"]) == ("failed", {}), "by its id it is upstream's own record"


async def test_hd2_the_header_never_reaches_upstream(open_house: OpenHouse, receiver: ScriptedUpstream) -> None:
    async with ScriptedUpstream(answering(response(b'{"request_id":"r1","status":"queued"}'))) as upstream:
        house = await open_house(POLICY, upstream=upstream.url, outside=outside(receiver))
        assert (await house.client("key").create(headers=HEADERS)).status_code == 200
    create = next(each for each in upstream.requests if each.method == "POST")
    assert create.header("x-gateway-webhook") is None
    assert HOST.encode() not in create.body


async def test_a_job_that_ended_in_its_create_is_told_too(open_house: OpenHouse, receiver: ScriptedUpstream) -> None:
    house = await open_house(POLICY, outside=outside(receiver))
    created = await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
    assert created.json()["status"] == "success"
    await house.eventually(lambda: len(receiver.requests) == 1)
    assert check(receiver.requests[0])["data"]["request_id"] == created.json()["request_id"]


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.EXPIRED])
async def test_a_job_that_is_cancelled_or_expires_is_told_of_with_what_was_last_seen(
    open_house: OpenHouse, receiver: ScriptedUpstream, outcome: Outcome
) -> None:
    house = await open_house(POLICY, speed=0.001, outside=outside(receiver))
    created = await house.client("key").create(headers=HEADERS)
    seen = Sighting(created.json()["request_id"], outcome.value, None)
    assert await house.gw.ledger.settle(seen, outcome, house.gw.now())
    await house.eventually(lambda: len(receiver.requests) == 1)
    event = check(receiver.requests[0])
    assert event["type"] == f"request.{outcome}"
    assert event["data"]["request_id"] == created.json()["request_id"]


async def test_what_has_not_ended_is_not_told(open_house: OpenHouse, receiver: ScriptedUpstream) -> None:
    house = await open_house(POLICY, speed=0.001, outside=outside(receiver))
    await house.client("key").create(headers=HEADERS)
    assert await stands(house, Standing.WAITING)
    await webhooks.deliver(house.gw)
    assert receiver.connections == []


async def test_a_create_that_made_no_job_is_told_of_by_nobody(
    open_house: OpenHouse, receiver: ScriptedUpstream
) -> None:
    house = await open_house(POLICY, outside=outside(receiver))
    house.break_upstream("create_request:429")
    assert (await house.client("key").create(headers=HEADERS)).status_code == 429
    assert await told(house) == []


@pytest.mark.parametrize("once", [{"Idempotency-Key": "k"}, {}])
async def test_a_create_that_gets_an_earlier_ones_answer_registers_nothing_more(
    open_house: OpenHouse, receiver: ScriptedUpstream, once: dict[str, str]
) -> None:
    merging = {"a.yaml": team("a", "key", f"{WEBHOOKS}\nduplicates: {{window: 1 h}}")}
    house = await open_house(merging, outside=outside(receiver))
    for webhook in (HEADERS, HEADERS, {"X-Gateway-Webhook": f"https://{HOST}/other"}):
        assert (await house.client("key").create(headers=webhook | once)).status_code == 200
    await house.eventually(lambda: stands(house, Standing.DELIVERED), 15)
    assert [each.target for each in receiver.requests] == ["/in?token=t0ken"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("http://hooks.example.com/", "The URL in X-Gateway-Webhook must be an absolute `https://` URL"),
        ("https://evil.example.com/", "The URL in X-Gateway-Webhook must be on a host that the team's policy lists"),
        ("https://hooks.example.com:8443/", "The URL in X-Gateway-Webhook must not name a port"),
        ("https://u:p@hooks.example.com/", "The URL in X-Gateway-Webhook must not hold a user name"),
        ("", "The URL in X-Gateway-Webhook must be an absolute `https://` URL"),
    ],
)
async def test_ss1_a_url_that_may_not_be_called_is_refused_before_anything_else(
    open_house: OpenHouse, value: str, problem: str
) -> None:
    house = await open_house(POLICY)
    refused = await house.client("key").create(headers={"X-Gateway-Webhook": value})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert refused.json()["error"].startswith(problem)
    assert house.received("create_request") == 0
    assert await told(house) == []


async def test_two_headers_and_a_team_without_webhooks_are_refused(open_house: OpenHouse) -> None:
    house = await open_house(POLICY | {"b.yaml": team("b", "b-key")})
    names = [("Authorization", "Bearer key"), *(("X-Gateway-Webhook", f"https://{HOST}/"),) * 2]
    body = {"model": "Veo3", "payload": {"prompt": "x"}}
    twice = await house.http.post(f"{house.running.public_url}{Q}/requests", headers=names, json=body)
    assert (twice.status_code, twice.json()["error"]) == (400, "Send one X-Gateway-Webhook header with one URL.")
    without = await house.client("b-key").create(headers=HEADERS)
    assert (without.status_code, without.json()["code"]) == (400, "invalid_request")
    assert "ask your platform team to list `webhooks` in its policy" in without.json()["error"]
    assert house.received("create_request") == 0


def one_after_the_other(*answers: bytes) -> tuple[Script, ...]:
    """One answer a connection."""
    return tuple(answering(each) for each in answers)


async def test_what_is_not_taken_is_tried_again_with_the_same_id(
    open_house: OpenHouse, trusting: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = (
        response(b"", "500 Internal Server Error"),
        response(b"", "302 Found", f"Location: https://{HOST}/else"),
        response(b"", "429 Too Many Requests"),
    )

    async def reset(connection: Connection) -> None:
        await connection.request()
        connection.reset()

    scripts = (*one_after_the_other(*refusals), reset, answering(TAKEN))
    logger.addHandler(caplog.handler)
    async with ScriptedUpstream(*scripts, tls=tls(trusting)) as receiver:
        house = await open_house(POLICY, outside=outside(receiver))
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        for number in range(1, 5):
            await house.eventually(lambda number=number: len(lines_of(caplog)) == number)
            (row,) = await told(house)
            assert row.standing is Standing.DUE
            assert (row.next_attempt_at or 0) > house.gw.now()
            await hurry(house)
        await house.eventually(lambda: stands(house, Standing.DELIVERED))
        await house.eventually(lambda: results(house) == {"refused": 3, "failed": 1, "delivered": 1})
    logger.removeHandler(caplog.handler)
    assert len({each.header("webhook-id") for each in receiver.requests}) == 1
    assert [check(each)["type"] for each in receiver.requests] == ["request.success"] * 5
    lines = lines_of(caplog)
    assert [line["status"] for line in lines] == [500, 302, 429, None, 200]
    assert [line.get("problem") for line in lines] == [
        *("answered 500", "answered 302", "answered 429", "the connection broke off before an answer", None),
    ]
    assert {line["host"] for line in lines} == {HOST}
    assert "t0ken" not in caplog.text + str(lines)


def results(house: House) -> dict[str, float]:
    """How many attempts came to what, as Prometheus sees it."""
    name = "gateway_webhook_attempts_total"
    return {labels["result"]: value for labels, value in house.gw.metrics.series([name])[name] if value}


def lines_of(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What the log says of attempts."""
    return [vars(record)["fields"] for record in caplog.records if record.message.startswith("webhook ")]


async def tried(house: House, number: int) -> bool:
    (row,) = await told(house)
    return row.attempts == number and row.problem is not None and row.standing is not Standing.WAITING


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_a_receiver_that_wants_a_pause_gets_it(open_house: OpenHouse, trusting: Path, status: str) -> None:
    later = response(b"", status, "Retry-After: 600")
    async with ScriptedUpstream(answering(later), tls=tls(trusting)) as receiver:
        house = await open_house(POLICY, outside=outside(receiver))
        began = house.gw.now()
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        await house.eventually(lambda: tried(house, 1))
        (row,) = await told(house)
        assert began + 600 <= (row.next_attempt_at or 0) <= house.gw.now() + 600


async def test_a_receiver_that_is_down_hinders_nobody_and_is_told_later(
    open_house: OpenHouse, receiver: ScriptedUpstream
) -> None:
    up, is_up = outside(receiver), threading.Event()

    def resolve(host: str) -> Sequence[Endpoint]:
        return up.resolve(host) if is_up.is_set() else ()

    house = await open_house(POLICY, outside=replace(up, resolve=resolve))
    for _ in range(3):
        assert (await house.client("key").create("seedream-5.0-lite", headers=HEADERS)).status_code == 200
    await house.eventually(lambda: stands_tried(house, 3))
    assert await house.gw.ledger.verify() == []
    assert {each.problem for each in await told(house)} == {"its name does not resolve"}
    is_up.set()
    await hurry(house)
    await house.eventually(lambda: stands(house, Standing.DELIVERED, 3))
    assert len({each.header("webhook-id") for each in receiver.requests}) == 3


async def stands_tried(house: House, count: int) -> bool:
    return [each.attempts for each in await told(house) if each.problem] == [1] * count


async def test_a_slow_receiver_keeps_no_other_waiting(
    open_house: OpenHouse, trusting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()

    async def slow_for_one(connection: Connection) -> None:
        request = await connection.request()
        if request.target == "/slow":
            await held.wait()
        await connection.send(TAKEN)

    async with ScriptedUpstream(slow_for_one, tls=tls(trusting, "other.example.org")) as receiver:
        house = await open_house(POLICY, outside=outside(receiver))
        for _ in range(outbound.AT_ONCE_PER_TEAM_AND_HOST + 2):
            slow = {"X-Gateway-Webhook": "https://other.example.org/slow"}
            assert (await house.client("key").create("seedream-5.0-lite", headers=slow)).status_code == 200
        await house.eventually(lambda: len(receiver.requests) == outbound.AT_ONCE_PER_TEAM_AND_HOST)
        assert house.gw.outbound.full_pairs() == [("a", "other.example.org")]
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        # another host's is tried meanwhile, and refused for its certificate
        await house.eventually(lambda: any_problem(house))
        assert len(receiver.requests) == outbound.AT_ONCE_PER_TEAM_AND_HOST
        held.set()
        await house.eventually(lambda: delivered(house, outbound.AT_ONCE_PER_TEAM_AND_HOST + 2))


@pytest.mark.parametrize("trouble", ["410 Gone", "429 Too Many Requests", "503 Unavailable", "302 Found", "hangs"])
async def test_what_one_teams_receiver_does_delays_no_other_teams_at_the_same_host(
    open_house: OpenHouse, trusting: Path, trouble: str
) -> None:
    held = asyncio.Event()

    async def in_trouble_for_one(connection: Connection) -> None:
        request = await connection.request()
        if request.target != "/b":
            await connection.send(TAKEN)
        elif trouble == "hangs":
            await held.wait()
        else:
            await connection.send(response(b"", trouble, "Retry-After: 600", f"Location: https://{HOST}/a"))

    async with ScriptedUpstream(in_trouble_for_one, tls=tls(trusting)) as receiver:
        house = await open_house(POLICY | {"b.yaml": team("b", "other", WEBHOOKS)}, outside=outside(receiver))
        for number in range(80):
            notice = Notice("limit", str(number), "b", Target(HOST, "/b"), b"{}")
            await house.gw.ledger.outbox.notify(notice, house.gw.now())
        await house.eventually(lambda: len(receiver.requests) >= outbound.AT_ONCE_PER_TEAM_AND_HOST)
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        await house.eventually(lambda: is_told(house))
        held.set()


async def test_a_place_that_comes_free_is_used_at_once_while_something_is_due(
    open_house: OpenHouse, receiver: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "DELIVER_EVERY", 3600.0)  # there is no other round but those that free places ask for
    house = await open_house(POLICY, outside=outside(receiver))
    await notify(house, "a", 100)
    await webhooks.deliver(house.gw)

    await house.eventually(lambda: all_of(house, "a", Standing.DELIVERED), 30)
    ids = [each.header("webhook-id") for each in receiver.requests]
    assert len(ids) == len(set(ids)) == 100


async def test_a_place_that_comes_free_goes_to_whoever_was_left_out_for_it(
    open_house: OpenHouse, trusting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "DELIVER_EVERY", 3600.0)
    held, teams = asyncio.Event(), "abcdefghijkl"

    async def slow(connection: Connection) -> None:
        await connection.request()
        await held.wait()
        await connection.send(TAKEN)

    async with ScriptedUpstream(slow, tls=tls(trusting)) as receiver:
        files = {f"{name}.yaml": team(name, f"key-{name}", WEBHOOKS) for name in teams}
        house = await open_house(files, outside=outside(receiver))
        for name in teams:
            await notify(house, name, outbound.AT_ONCE_PER_TEAM_AND_HOST * 2)
        await webhooks.deliver(house.gw)
        await house.eventually(lambda: len(receiver.requests) == outbound.AT_ONCE_PER_HOST)
        assert house.gw.outbound.full_hosts() == [HOST]
        held.set()
        for name in teams:
            await house.eventually(lambda name=name: all_of(house, name, Standing.DELIVERED), 30)


async def notify(house: House, name: str, count: int) -> None:
    """So many events of one team are due."""
    for number in range(count):
        notice = Notice("limit", f"{name}-{number}", name, Target(HOST, "/"), b"{}")
        await house.gw.ledger.outbox.notify(notice, house.gw.now())


async def all_of(house: House, name: str, standing: Standing) -> bool:
    return {each.standing for each in await told_of(house, name)} == {standing}


async def test_one_teams_silent_hosts_keep_no_other_teams_delivery_waiting(
    open_house: OpenHouse, receiver: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(POLICY | {"b.yaml": team("b", "other", WEBHOOKS)}, outside=outside(receiver))
    held, post = asyncio.Event(), house.gw.outbound.post
    silent = set[str]()

    async def post_or_hang(target: Target, headers: dict[str, str], body: bytes) -> httpx.Response:
        if target.host != HOST:
            silent.add(target.host)
            await held.wait()
        answer: httpx.Response = await post(target, headers, body)
        return answer

    monkeypatch.setattr(house.gw.outbound, "post", post_or_hang)
    for number in range(70):
        notice = Notice("limit", str(number), "b", Target(f"host-{number % 35}.example.org", "/"), b"{}")
        await house.gw.ledger.outbox.notify(notice, house.gw.now())
    await house.eventually(lambda: bool(house.gw.outbound.full_teams()))
    await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
    await house.eventually(lambda: len(receiver.requests) == 1)
    assert len(silent) <= outbound.AT_ONCE_PER_TEAM
    held.set()


async def test_one_teams_slow_names_fail_no_other_teams_delivery(
    open_house: OpenHouse, receiver: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.5)
    world, released = outside(receiver), threading.Event()

    def slow_for_one(host: str) -> Sequence[Endpoint]:
        if host != HOST:
            released.wait(30)
        return world.resolve(host)

    house = await open_house(
        POLICY | {"b.yaml": team("b", "other", WEBHOOKS)}, outside=Outside(slow_for_one, world.permits)
    )
    for number in range(70):
        notice = Notice("limit", str(number), "b", Target(f"host-{number}.example.org", "/"), b"{}")
        await house.gw.ledger.outbox.notify(notice, house.gw.now())
    await house.eventually(lambda: given_up_on(house, outbound.AT_ONCE_PER_TEAM))
    await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
    await house.eventually(lambda: is_told(house))
    (row,) = await told_of(house, "a")
    assert (row.attempts, row.status) == (1, 200)
    assert sum(each.attempts for each in await told_of(house, "b")) == outbound.AT_ONCE_PER_TEAM
    released.set()


async def told_of(house: House, team: str) -> list[DeliveryState]:
    found, _ = await house.gw.ledger.outbox.page(Wanted(team, limit=100))
    return found


async def is_told(house: House) -> bool:
    return [each.standing for each in await told_of(house, "a")] == [Standing.DELIVERED]


async def given_up_on(house: House, count: int) -> bool:
    return [each.problem for each in await told_of(house, "b")].count("no answer in time") == count


async def any_problem(house: House) -> bool:
    return any(each.host == HOST and each.problem for each in await told(house))


async def delivered(house: House, count: int) -> bool:
    return [each.standing for each in await told(house)].count(Standing.DELIVERED) == count


async def test_tw4_a_delivery_does_not_wait_for_a_clock_that_was_set_back(
    open_house: OpenHouse, trusting: Path, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "BRING_FORWARD_EVERY", 0.02)
    scripts = one_after_the_other(response(b"", "500 Internal Server Error"), TAKEN)
    async with ScriptedUpstream(*scripts, tls=tls(trusting)) as receiver:
        house = await open_house(POLICY, outside=outside(receiver))
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)

        async def refused() -> bool:
            return [each.status for each in await told(house)] == [500]

        await house.eventually(refused)
        wall_clock.advance(-3600)
        await house.eventually(lambda: stands(house, Standing.DELIVERED))


async def test_gone_is_not_asked_again_until_somebody_says_so(open_house: OpenHouse, trusting: Path) -> None:
    gone, taken = response(b"", "410 Gone"), TAKEN
    async with ScriptedUpstream(*one_after_the_other(gone, taken), tls=tls(trusting)) as receiver:
        house = await open_house(POLICY, outside=outside(receiver))
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        await house.eventually(lambda: stands(house, Standing.FAILED))
        (row,) = await told(house)
        assert (row.status, row.problem, row.next_attempt_at) == (410, "answered 410", None)
        assert await house.gw.ledger.outbox.redeliver([row.id], house.gw.now()) == 1
        await house.eventually(lambda: stands(house, Standing.DELIVERED))
        await house.eventually(lambda: results(house) == {"given_up": 1, "delivered": 1})


@pytest.mark.parametrize("later", ["", "webhooks: {hosts: [else.example.com], secret: env:HOOK_SECRET}", None])
async def test_a_policy_that_no_longer_allows_it_stops_a_delivery(
    open_house: OpenHouse, receiver: ScriptedUpstream, later: str | None
) -> None:
    house = await open_house(POLICY | {"b.yaml": team("b", "b-key")}, speed=0.001, outside=outside(receiver))
    created = await house.client("key").create(headers=HEADERS)
    if later is None:
        (house.policies / "a.yaml").unlink()
    else:
        (house.policies / "a.yaml").write_text(team("a", "key", later))
    assert (await house.http.post(f"{house.running.admin_url}/reload")).status_code == 200
    seen = Sighting(created.json()["request_id"], "success", None)
    await house.gw.ledger.settle(seen, Outcome.SUCCESS, house.gw.now())
    await house.eventually(lambda: stands(house, Standing.FAILED))
    (row,) = await told(house)
    assert row.problem == "the team's policy does not allow it any more"
    assert receiver.connections == []


async def test_a_claim_that_fails_leaves_its_place_to_the_next(
    open_house: OpenHouse, receiver: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise LedgerUnavailable("away")

    house = await open_house(POLICY, outside=outside(receiver))
    with monkeypatch.context() as away:
        away.setattr(Outbox, "claim", unavailable)
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        for _ in range(outbound.AT_ONCE_PER_TEAM_AND_HOST + 1):
            with pytest.raises(LedgerUnavailable):
                await webhooks.deliver(house.gw)
    await house.eventually(lambda: stands(house, Standing.DELIVERED))


async def test_a_secret_that_cannot_be_read_is_waited_for(open_house: OpenHouse, receiver: ScriptedUpstream) -> None:
    house = await open_house(POLICY, outside=outside(receiver))
    known = house.gw.credentials._environment
    house.gw.credentials._environment = {name: text for name, text in known.items() if name != "HOOK_SECRET"}
    await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
    await house.eventually(lambda: tried(house, 1))
    assert (await told(house))[0].problem == "the secret that signs it cannot be read"
    assert receiver.connections == []
    house.gw.credentials._environment = known
    await hurry(house)
    await house.eventually(lambda: stands(house, Standing.DELIVERED))


async def test_a_gateway_whose_team_cannot_sign_does_not_start(open_house: OpenHouse) -> None:
    files = {"a.yaml": team("a", "key", WEBHOOKS.replace("HOOK_SECRET", "OTHER"))}
    with pytest.raises(StartError) as refused:
        await open_house(files)
    assert str(refused.value) == "webhooks of team 'a': no secret: OTHER is not set"


def test_a_secret_that_is_no_base64_is_told_of_without_it() -> None:
    policies = policy("team: a\nmodels: {allow: [Veo3]}\n" + WEBHOOKS + "\n")
    problems = webhooks.missing_secrets(policies, lambda _: Secret("whsec_s3cr3t!"), lambda source: source.value)
    assert problems == ["webhooks of team 'a': the secret in HOOK_SECRET is no base64 after `whsec_`"]
    assert webhooks.missing_secrets(policies, lambda _: Secret(HOOK_SECRET), lambda source: source.value) == []


async def test_of_two_gateways_one_sends_each_event(
    open_house: OpenHouse, receiver: ScriptedUpstream, postgres: Server
) -> None:
    ledger = postgres.ledger()
    first = await open_house(POLICY, outside=outside(receiver), ledger=ledger)
    second = await open_house({}, upstream=first.upstream.url, outside=outside(receiver), ledger=ledger)
    for number in range(20):
        house = (first, second)[number % 2]
        assert (await house.client("key").create("seedream-5.0-lite", headers=HEADERS)).status_code == 200
    await first.eventually(lambda: stands(first, Standing.DELIVERED, 20), 20)
    ids = [each.header("webhook-id") for each in receiver.requests]
    assert len(ids) == len(set(ids)) == 20


async def test_a_delivery_is_not_another_gateways_while_it_may_still_be_under_way(
    open_house: OpenHouse, trusting: Path, wall_clock: WallClock
) -> None:
    held = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.request()
        await held.wait()
        await connection.send(TAKEN)

    async with ScriptedUpstream(slow, tls=tls(trusting)) as receiver:
        house = await open_house(POLICY, outside=outside(receiver))
        other = await open_house({}, upstream=house.upstream.url, outside=outside(receiver))
        await house.client("key").create("seedream-5.0-lite", headers=HEADERS)
        await house.eventually(lambda: len(receiver.requests) == 1)
        wall_clock.advance(outbound.DEADLINE)
        await webhooks.deliver(other.gw)
        assert [each.attempts for each in await told(house)] == [1]
        held.set()
        await house.eventually(lambda: stands(house, Standing.DELIVERED))


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
async def test_kl1_what_was_settled_before_a_kill_is_told_after_the_restart(
    tmp_path: Path, trusting: Path, upstream: str, request: pytest.FixtureRequest, backend: str
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(POLICY["a.yaml"])
    environment = environment_of(tmp_path, upstream) | {
        "HOOK_SECRET": HOOK_SECRET,
        "SSL_CERT_FILE": str(trusting / "root.pem"),
    }
    if backend == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        environment["GATEWAY_LEDGER"] = server.ledger()
    async with ScriptedUpstream(Connection.hold, tls=tls(trusting)) as silent:
        down = environment | {"RECEIVER": str(port_of(silent))}
        async with served(down, SHELTERED) as gateway:
            created = await gateway.client("key").create("seedream-5.0-lite", headers=HEADERS)
            assert created.status_code == 200, created.text
            await gateway.ends(signal.SIGKILL)
    url = environment["GATEWAY_LEDGER"]
    assert run_sql(url, "SELECT standing FROM deliveries") == [("due",)]
    run_sql(url, "UPDATE deliveries SET next_attempt_at = 0")  # as if the lease of the killed had run out
    async with ScriptedUpstream(answering(TAKEN), tls=tls(trusting)) as receiver:
        async with served(environment | {"RECEIVER": str(port_of(receiver))}, SHELTERED):
            await eventually(lambda: has(receiver, 1))
        assert check(receiver.requests[0])["data"]["request_id"] == created.json()["request_id"]


async def has(receiver: ScriptedUpstream, count: int) -> bool:
    return len(receiver.requests) == count


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async with Simulator(Settings(keys=(REAL_KEY,), speed=2000)) as simulator:
        yield simulator.url
