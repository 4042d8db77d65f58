"""The job routes as a client sees them: answers, pages, conditions, repeats."""

import asyncio
import json

import pytest

from tests.conftest import Client, OpenHouse, Q, team
from tests.scripted_upstream import response
from tests.web.conftest import OpenShop, Studio


async def created(client: Client, model: str = "Veo3") -> str:
    answer = await client.create(model)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


async def test_a_create_is_answered_with_upstreams_bytes_and_what_is_left(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    answer = await client.create()
    assert answer.status_code == 200
    assert set(answer.json()) == {"request_id", "model", "status", "created_at", "updated_at", "queued_at"}
    assert '"jobs-day";q=5;w=86400' in answer.headers["ratelimit-policy"]
    assert '"jobs-at-once";r=2' in answer.headers["ratelimit"]
    assert '"requests-minute";r=599;t=' in answer.headers["ratelimit"]
    assert "money" not in answer.headers["ratelimit"]
    assert "idempotency-replayed" not in answer.headers
    assert house.received("create_request") == 1


async def test_the_time_upstream_takes_is_not_the_gateways(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    await client.create()
    house.break_upstream("create_request:latency:0.3")
    answer = await client.create()
    upstream, gateway = (float(part.partition("dur=")[2]) for part in answer.headers["server-timing"].split(", "))
    assert upstream >= 300
    assert gateway < 250


async def test_a_job_that_ended_in_a_create_of_201_is_polled_as_any_other(studio: Studio) -> None:
    job = "0d9b3f0e-6a51-4c1e-9d53-0c6a4c2f7f11"
    body = b'{"request_id":"%s","model":"Veo3","status":"success","outcome":{},"payload":{}}' % job.encode()
    studio.upstream.answers["POST", f"{Q}/requests"] = response(body, "201 Created", f"Location: {Q}/requests/{job}")
    create = await studio.client.create()
    poll = await studio.client.get(f"{Q}/requests/{job}")
    assert (create.status_code, create.headers["location"]) == (201, f"{Q}/requests/{job}")
    assert (poll.status_code, poll.content, "location" in poll.headers) == (200, body, False)
    assert poll.headers["content-type"] == "application/json"
    events = await studio.client.get(f"/gateway/v1/requests/{job}/events")
    assert (events.status_code, events.headers["content-type"]) == (200, "text/event-stream")
    assert studio.looks(job) == 0


async def test_id1_a_repeat_is_told_the_same_and_pays_nothing(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    key = {"Idempotency-Key": "order-1"}
    first = await client.create(headers=key)
    again = await client.create(headers=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["server-timing"].startswith("upstream;dur=0.000")
    assert (house.received("create_request"), await house.gw.ledger.verify()) == (1, [])
    other = await client.create(payload={"prompt": "another"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_id2_a_large_body_that_differs_in_one_byte_is_another(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    key = {"Idempotency-Key": "order-1"}
    large = {"prompt": "a lighthouse", "note": "A" * 1_000_000}
    first = await client.create(payload=large, headers=key)
    again = await client.create(payload=large, headers=key)
    assert (first.status_code, again.content, house.received("create_request")) == (200, first.content, 1)
    other = await client.create(payload=large | {"note": "A" * 500_000 + "B" + "A" * 499_999}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 256, b"a\tb", b"\xe4"])
async def test_an_idempotency_key_is_1_to_255_visible_characters(open_shop: OpenShop, value: bytes) -> None:
    house, client = await open_shop()
    answer = await client.create(headers={"Idempotency-Key": value})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "Idempotency-Key" in answer.json()["error"]
    assert house.received("create_request") == 0


async def test_two_idempotency_keys_are_none(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    headers = [("Authorization", f"Bearer {client.key}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    body = {"model": "Veo3", "payload": {"prompt": "x"}}
    answer = await client.http.post(f"{client.base}{Q}/requests", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert (await client.create(headers={"Idempotency-Key": "x" * 255})).status_code == 200
    assert house.received("create_request") == 1


async def test_a_full_limit_says_which_and_until_when(open_shop: OpenShop) -> None:
    _, client = await open_shop()
    for _ in range(3):
        await created(client)
    answer = await client.create()
    body = answer.json()
    assert (answer.status_code, body["code"]) == (429, "concurrency_exceeded")
    assert body["quota"] == {"name": "jobs-at-once", "limit": 3, "used": 3, "unit": "jobs", "resets_at": None}
    assert body["rate_limit"]["retry_after_ms"] == 1000 * int(answer.headers["retry-after"])
    assert '"jobs-at-once";q=3' in answer.headers["ratelimit-policy"].split(", ")
    assert '"jobs-at-once";r=0' in answer.headers["ratelimit"].split(", ")


async def test_a_record_is_conditional_private_and_from_memory(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    path = f"{Q}/requests/{await created(client)}"
    first = await client.get(path)
    assert (first.headers["cache-control"], first.headers["age"]) == ("private, no-cache", "0")
    assert first.headers["cache-status"] == "gmi-gateway; fwd=miss"
    etag = first.headers["etag"]
    again = await client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["cache-status"] == "gmi-gateway; hit"
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).content == first.content
    assert house.received("get_request") == 1


async def test_a_job_upstream_lost_is_upstreams_404(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    job = await created(client)
    house.upstream.simulation.jobs._jobs.clear()
    answer = await client.get(f"{Q}/requests/{job}")
    assert answer.status_code == 404
    assert "code" not in answer.json()
    assert "etag" not in answer.headers


async def test_the_list_is_the_teams_own_newest_first_in_pages(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key-a"), "b.yaml": team("b", "key-b")}, speed=1)
    client = house.client("key-a")
    jobs = [await created(client, model) for model in ("Veo3", "Veo3-Fast", "Veo3", "Veo3", "Veo3-Fast")]
    await created(house.client("key-b"))
    before = house.received("get_request") + house.received("list_requests")

    async def page(query: str) -> tuple[list[int], bool, int]:
        answer = await client.get(f"{Q}/requests{query}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-store"
        body = answer.json()
        assert list(body) == ["requests", "has_more", "total"]
        return [jobs.index(record["request_id"]) for record in body["requests"]], body["has_more"], body["total"]

    assert await page("") == ([4, 3, 2, 1, 0], False, 5)
    assert await page("?limit=2") == ([4, 3], True, 5)
    assert await page("?limit=2&offset=2") == ([2, 1], True, 5)
    assert await page("?limit=2&offset=4") == ([0], False, 5)
    assert await page("?offset=9") == ([], False, 5)
    assert await page("?model_id=Veo3") == ([3, 2, 0], False, 3)
    assert await page("?model_id=Veo3&limit=1&offset=1") == ([2], True, 3)
    assert await page("?model_id=veo3") == ([], False, 0)
    assert house.received("get_request") + house.received("list_requests") == before


async def test_the_list_shows_the_record_last_seen(open_shop: OpenShop) -> None:
    _, client = await open_shop(speed=1000)
    job = await created(client)
    await asyncio.sleep(0.1)
    record = await client.get(f"{Q}/requests/{job}")
    assert record.json()["status"] == "success"
    listed = await client.get(f"{Q}/requests")
    assert listed.content == b'{"requests":[%s],"has_more":false,"total":1}' % record.content.strip()


async def test_a_record_too_large_to_keep_is_listed_without_its_payload(open_shop: OpenShop) -> None:
    _, client = await open_shop(speed=1000)
    answer = await client.create("Veo3", {"prompt": "x", "image": "A" * 300_000})
    job = answer.json()["request_id"]
    await asyncio.sleep(0.1)
    whole = (await client.get(f"{Q}/requests/{job}")).json()
    assert len(json.dumps(whole)) > 300_000
    (listed,) = (await client.get(f"{Q}/requests")).json()["requests"]
    assert listed == {name: value for name, value in whole.items() if name != "payload"}


async def test_a_delete_is_passed_through_and_frees_what_it_ended(open_shop: OpenShop) -> None:
    house, client = await open_shop("limits: [3 jobs at once]")
    job = await created(client)
    assert await house.used("jobs", "a") == 1
    answer = await client.call("DELETE", f"{Q}/requests/{job}")
    assert answer.status_code < 300
    assert house.received("delete_request") == 1

    async def freed() -> bool:
        return int(await house.used("jobs", "a")) == 0

    await house.eventually(freed)
    assert (await client.get(f"{Q}/requests/{job}")).json()["status"] == "cancelled"
    assert await house.gw.ledger.verify() == []


async def test_a_delete_of_a_strangers_job_goes_nowhere(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key-a"), "b.yaml": team("b", "key-b")}, speed=1)
    job = await created(house.client("key-a"))
    answer = await house.client("key-b").call("DELETE", f"{Q}/requests/{job}")
    assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")
    assert house.received("delete_request") == 0


async def test_an_ended_job_is_shown_as_it_ended_also_when_it_was_deleted(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key-a")})
    client = house.client("key-a")
    job = await created(client)

    async def has_ended() -> bool:
        return bool((await client.get(f"{Q}/requests/{job}")).json()["status"] == "success")

    await house.eventually(has_ended)
    last, asked = await client.get(f"{Q}/requests/{job}"), house.received("get_request")
    assert (await client.call("DELETE", f"{Q}/requests/{job}")).status_code < 300
    again = await client.get(f"{Q}/requests/{job}")
    assert (again.status_code, again.content) == (200, last.content)
    assert again.headers["cache-status"] == "gmi-gateway; hit"
    assert house.received("get_request") == asked
