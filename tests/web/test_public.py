"""The edge: the order of trust, what every answer carries, and faults that stay inside."""

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Sequence
from uuid import uuid4

import pytest

from gateway.budget import MIB
from gateway.context import Gateway
from gateway.core.limits import RequestBound
from gateway.leases import Leases
from gateway.logs import logger
from gateway.web.call import Call
from tests.conftest import Client, House, OpenHouse, Q, digest, team
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import response
from tests.web.conftest import OpenShop

USAGE = "/gateway/v1/usage"


async def in_flight(house: House) -> float:
    """How many calls are under way, as it is told to Prometheus."""
    lines = (await house.admin("/metrics")).text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("gateway_requests_in_flight ")))


async def test_every_answer_has_an_id_its_times_and_what_is_left(open_shop: OpenShop) -> None:
    _, client = await open_shop()
    for path, status in ((USAGE, 200), (f"{Q}/models", 200), ("/nope", 404), (f"{Q}/requests/none", 404)):
        answer = await client.get(path, headers={"X-Request-ID": "order-1"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, "order-1")
        assert re.fullmatch(r"upstream;dur=\d+\.\d{3}, gateway;dur=\d+\.\d{3}", answer.headers["server-timing"])
        assert answer.headers["ratelimit-policy"] == '"requests-minute";q=600;w=60'
        assert re.fullmatch(r'"requests-minute";r=\d+;t=\d+', answer.headers["ratelimit"])


async def test_a_path_that_is_wrong_by_a_slash_alone_is_told_so(open_shop: OpenShop) -> None:
    _, client = await open_shop()
    advice = {
        f"{Q}/models/": "leave out the slash at its end",
        "/gateway": "put a slash at its end",
        f"{Q}//models": "write it with single slashes",
        "/v1/models": f"the API of GMI Cloud begins with {Q}",
    }
    for path, told in advice.items():
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, f"There is no such path here; {told}.")


async def test_every_call_counts_and_the_next_one_is_told_when_to_come_back(open_shop: OpenShop) -> None:
    _, client = await open_shop("limits: [3 requests per hour]")
    statuses = [(await client.get(path)).status_code for path in (USAGE, "/nope", f"{Q}/requests?limit=x")]
    assert statuses == [200, 404, 400]
    answer = await client.get(USAGE)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (429, "rate_limited")
    assert body["rate_limit"]["limit_type"] == "requests per hour"
    assert body["rate_limit"]["retry_after_ms"] == 1000 * int(answer.headers["retry-after"])
    assert body["quota"]["name"] == "requests-hour"
    assert answer.headers["ratelimit"].startswith('"requests-hour";r=0;t=')


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ("[models]", {"models"}),
        ("[jobs:read]", {"list"}),
        ("[jobs]", {"list", "create", "explain"}),
        ("[uploads]", {"upload"}),
    ],
)
async def test_a_key_does_what_its_scopes_say(open_house: OpenHouse, scopes: str, allowed: set[str]) -> None:
    scoped = f"  - {{name: scoped, hash: {digest('key-s')}, scopes: {scopes}}}\n"
    policy = team("a", "key-a").replace("models:", f"{scoped}models:") + "uploads: {file_types: [png]}\n"
    house = await open_house({"a.yaml": policy})
    client = house.client("key-s")
    body = {"model": "Veo3", "payload": {"prompt": "x"}}
    answers = {
        "models": await client.get(f"{Q}/models"),
        "list": await client.get(f"{Q}/requests"),
        "create": await client.call("POST", f"{Q}/requests", json=body),
        "explain": await client.call("POST", "/gateway/v1/explain", json=body),
        "upload": await client.call("POST", f"{Q}/upload-url", json={"file_type": "png"}),
    }
    assert {name for name, answer in answers.items() if answer.status_code == 200} == allowed
    for name in answers.keys() - allowed:
        assert (answers[name].status_code, answers[name].json()["code"]) == (403, "scope_denied")
        assert "'scoped'" in answers[name].json()["error"]
    assert (await client.get(USAGE)).status_code == 200


async def test_a_shadow_limit_lets_pass_and_reports(open_shop: OpenShop) -> None:
    house, client = await open_shop("limits: [{limit: 1 requests per hour, mode: shadow, name: soft}]")
    for _ in range(3):
        answer = await client.get(USAGE)
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers
    assert 'gateway_quota_shadow_denied_total{limit="soft",team="a"} 2.0' in (await house.admin("/metrics")).text


async def test_more_calls_than_fit_are_shed(open_shop: OpenShop) -> None:
    house, client = await open_shop(max_in_flight="1")
    house.break_upstream("list_models:latency:0.5")
    slow = house.gw.tasks.start(client.get(f"{Q}/models"), "slow")
    await house.eventually(lambda: house.received("list_models") == 1)
    answer = await client.get(USAGE)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
    assert (await slow).status_code == 200
    assert (await client.get(USAGE)).status_code == 200


async def connect(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of which hardly anything is read unasked."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", int(house.running.public_url.rpartition(":")[2])))
    return await asyncio.open_connection(sock=sock, limit=4096)


def head(method: str, key: str, *lines: str) -> bytes:
    return "\r\n".join(
        [f"{method} {Q}/requests HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *lines, "", ""]
    ).encode()


async def open_two(open_house: OpenHouse, **settings: str) -> tuple[House, Client, Client]:
    house = await open_house({"a.yaml": team("a", "key-a"), "b.yaml": team("b", "key-b")}, **settings)
    return house, house.client("key-a"), house.client("key-b")


async def test_qu8_bodies_a_team_leaves_half_sent_leave_room_for_the_others(open_house: OpenHouse) -> None:
    house, a, b = await open_two(open_house, max_in_flight="100")
    slow = [await connect(house) for _ in range(60)]
    for _, writer in slow:
        writer.write(head("POST", "key-a", "Content-Length: 9", "Content-Type: application/json") + b"{")
    said = await asyncio.wait_for(slow[-1][0].readuntil(b"\r\n\r\n"), 5)
    assert said.startswith(b"HTTP/1.1 503")
    refused = await a.create()
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert [(await b.create()).status_code, (await a.get(f"{Q}/models")).status_code] == [200, 200]
    for _, writer in slow:
        writer.close()

    async def over() -> bool:
        return bool((await a.create()).status_code == 200)

    await house.eventually(over)


async def test_qu8_calls_of_a_team_that_wait_for_the_ledger_leave_room_for_the_others(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, take = asyncio.Event(), Leases.take

    async def take_slowly(leases: Leases, bounds: Sequence[RequestBound], now: float) -> RequestBound | None:
        await counted.wait()
        return await take(leases, bounds, now)

    monkeypatch.setattr(Leases, "take", take_slowly)
    rate = "limits: [1000 requests per minute]"
    files = {"a.yaml": team("a", "key-a", rate), "b.yaml": team("b", "key-b")}
    house = await open_house(files, max_in_flight="60")
    flood = [asyncio.ensure_future(house.client("key-a").get(USAGE)) for _ in range(90)]
    try:
        await house.eventually(lambda: sum(call.done() for call in flood) == 90 - 62)
        refused = next(call.result() for call in flood if call.done())
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert "Your team" in refused.json()["error"]
        assert [(await house.client("key-b").get(USAGE)).status_code for _ in range(3)] == [200] * 3
    finally:
        counted.set()
    answers = await asyncio.gather(*flood)
    assert Counter(answer.status_code for answer in answers) == {200: 62, 503: 28}
    assert (await house.client("key-a").get(USAGE)).json()["limits"][0]["used"] == 63, "the refused cost no rate"


async def test_rs5_a_small_container_sheds_what_would_not_fit_and_serves_the_others(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.memory_limit", lambda: 128 * MIB)  # 4 MiB of it for bodies
    _, a, b = await open_two(open_house)
    large = {"prompt": "p" * 3 * MIB}
    flood = await asyncio.gather(*(a.create(payload=large) for _ in range(16)))
    assert {answer.status_code for answer in flood} <= {200, 503}
    assert any(answer.status_code == 503 for answer in flood)
    assert [(await b.create()).status_code, (await b.get(f"{Q}/models")).status_code] == [200, 200]
    assert (await a.create(payload=large)).status_code == 200, "one alone fits"
    too_large = await a.create(payload={"prompt": "p" * 5 * MIB})
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")
    assert "4194304 bytes" in too_large.json()["error"]


async def test_rs5_answers_a_team_does_not_take_leave_room_for_the_others(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.budget.LEAST_BODIES", 5_000_000)  # one page, which is at most 4 MiB
    house, a, b = await open_two(open_house, max_body="250 KiB")
    for _ in range(20):
        job = (await a.create(payload={"prompt": "p" * 240_000})).json()["request_id"]
        assert (await a.get(f"{Q}/requests/{job}")).status_code == 200  # and the ledger has its record
    reader, writer = await connect(house)
    writer.write(head("GET", "key-a"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    refused = await a.get(f"{Q}/requests")
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert [(await b.create()).status_code, (await a.get(f"{Q}/requests?limit=1&offset=19")).status_code] == [200, 503]
    assert (await a.get(USAGE)).status_code == 200
    writer.transport.abort()

    async def over() -> bool:
        return bool((await a.get(f"{Q}/requests")).status_code == 200)

    await house.eventually(over)


async def test_rs5_what_a_create_came_to_is_told_though_there_is_no_room_for_large_answers(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.budget.LEAST_BODIES", 100_000)
    async with FakeUpstream() as upstream:
        house, a, _ = await open_two(open_house, upstream=upstream.url, max_body="20000")
        job = (await a.create()).json()["request_id"]
        large = {**upstream.jobs[job], "request_id": str(uuid4()), "payload": {"prompt": "p" * 90_000}}
        upstream.jobs[job]["payload"] = large["payload"]
        upstream.answers["POST", f"{Q}/requests"] = response(json.dumps(large).encode())
        _, writer = await connect(house)
        writer.write(head("POST", "key-b", "Content-Length: 20000", "Content-Type: application/json") + b" " * 10_000)

        async def full() -> bool:
            return bool((await a.get(f"{Q}/requests/{job}")).status_code == 503)

        await house.eventually(full)
        created = await a.create()
        assert (created.status_code, created.json()) == (200, large)
        assert await full()
        writer.close()


@pytest.mark.parametrize("path", ["/gateway/v1/openapi.json", "/gateway/"], ids=["large", "small"])
async def test_qu8_answers_nobody_takes_leave_room_for_whoever_has_a_key(open_house: OpenHouse, path: str) -> None:
    house, a, _ = await open_two(open_house, max_in_flight="3")
    unread = [await connect(house) for _ in range(8)]
    for _, writer in unread:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 2000)

    async def taken_on() -> bool:
        return await in_flight(house) == len(unread)

    await house.eventually(taken_on)
    assert [(await a.get(f"{Q}/models")).status_code, (await a.create()).status_code] == [200, 200]
    for _, writer in unread:
        writer.transport.abort()

    async def over() -> bool:
        return await in_flight(house) == 0

    await house.eventually(over)


async def test_large_answers_arrive_whole_on_a_connection_that_stays(open_shop: OpenShop) -> None:
    house, client = await open_shop(speed=1000)
    answer = await client.create(payload={"prompt": "p" * 240_000})
    path = f"{Q}/requests/{answer.json()['request_id']}"
    for _ in range(3):
        got = await client.get(path)
        assert (got.status_code, len(got.json()["payload"]["prompt"])) == (200, 240_000)
    headers = (await client.call("HEAD", path)).headers
    assert int(headers["content-length"]) == len(got.content)
    assert await in_flight(house) == 0


async def test_se3_a_fault_of_ours_says_nothing_but_its_id(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house, client = await open_shop()
    logger.addHandler(caplog.handler)

    async def fail(_: Gateway, *__: object) -> None:
        raise LookupError("canary-of-the-fault")

    monkeypatch.setattr("gateway.catalogue.listing", fail)
    answer = await client.get(f"{Q}/models")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "canary" not in answer.text
    assert "LookupError" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["unhandled"]
    assert (await client.get(USAGE)).status_code == 200
    assert house.gw.denials.latest(1)[0].code == "internal_error"
    logger.removeHandler(caplog.handler)


async def test_rs5_a_call_whose_ending_fails_leaves_its_place_to_others(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, client = await open_shop()

    async def fail(_: Call) -> None:
        raise OSError("storage is gone")

    monkeypatch.setattr(Call, "has_ends", property(lambda _: True))
    monkeypatch.setattr(Call, "end", fail)
    assert (await client.get(f"{Q}/models")).status_code == 200
    assert await in_flight(house) == 0


async def test_without_a_ledger_nothing_is_sent(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    await house.gw.ledger.close()
    for answer in (await client.create(), await client.get(f"{Q}/requests"), await client.get(USAGE)):
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert house.received("create_request") == 0


async def test_time_lost_on_upstream_is_upstreams(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")}, upstream="http://127.0.0.1:1")
    started = time.perf_counter()
    answer = await house.client("key").get(f"{Q}/models")
    elapsed = 1000 * (time.perf_counter() - started)
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_unreachable")
    upstream, gateway = (float(part.partition("dur=")[2]) for part in answer.headers["server-timing"].split(", "))
    assert 0 < upstream <= elapsed
    assert gateway == 0
