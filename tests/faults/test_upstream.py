"""Upstream fails, lies or dawdles: what the team's client sees, and what the ledger holds. Rows UP1 to UP17."""

import asyncio
import json
import random
import time
from math import ceil
from pathlib import Path
from uuid import uuid4

import pytest

from gateway import recovery, settlement
from gateway.memory import MISSING_APART
from tests.clocks import WallClock, wall_clock
from tests.conftest import House, OpenHouse, team
from tests.fake_upstream import Q
from tests.faults.conftest import World, refused
from tests.faults.unruly import (
    CREATE,
    UnrulyUpstream,
    dripping,
    reset,
    sending,
    silence,
    unruly_world,
)
from tests.faults.wire import KEY_A, Answer, draft, get, post
from tests.scripted_upstream import Connection, Script, ScriptedUpstream, response

__all__ = ["wall_clock"]

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
JOB = {"model": "Veo3", "status": "queued", "created_at": 1}
Q0, Q1, QH = (0, 0, 0), (1, 1, 0), (1, 1, 1)
"""A team's jobs counted, slots held, and reservations without a job."""


def record(request_id: object) -> bytes:
    return json.dumps({"request_id": request_id, **JOB}).encode()


def seconds(began: float) -> float:
    return time.monotonic() - began


async def create(world: World) -> Answer:
    return Answer.of(await world.a.create())


async def told(world: World, path: str) -> Answer:
    return Answer.of(await world.a.get(path))


# --- nothing was sent: Q0 ------------------------------------------------------------------------------------------

UNREACHABLE = {"up1-refused": "http://127.0.0.1:1", "up2-unknown-name": "http://upstream.invalid"}


@pytest.mark.parametrize("url", UNREACHABLE.values(), ids=UNREACHABLE)
async def test_a_create_that_cannot_be_sent_costs_nothing(open_house: OpenHouse, url: str) -> None:
    house: House = await open_house({"a.yaml": team("a", KEY_A, "limits: [10 jobs per day, 10 jobs at once]")}, url)
    world = World(house, UnrulyUpstream())
    refused(await create(world), 502, "upstream_unreachable")
    refused(await told(world, f"{Q}/models"), 502, "upstream_unreachable")
    assert await world.books() == Q0


async def test_up3_a_server_that_cannot_prove_its_name_gets_no_byte_of_a_request(open_house: OpenHouse) -> None:
    received = b""

    async def plain(connection: Connection) -> None:
        nonlocal received
        received += await connection.reader.read(4096)
        await connection.send(response())

    async with ScriptedUpstream(plain) as upstream:
        url = upstream.url.replace("http", "https")
        house = await open_house({"a.yaml": team("a", KEY_A, "limits: [10 jobs per day, 10 jobs at once]")}, url)
        world = World(house, UnrulyUpstream())
        refused(await create(world), 502, "upstream_unreachable")
        assert await world.books() == Q0
    assert received.startswith(b"\x16\x03")  # a TLS handshake, and nothing else
    assert b"HTTP" not in received


# --- upstream answered, and the answer is useless: QH for a create -------------------------------------------------

INVALID = {
    "up7-html": response(b"<html>busy</html>", media_type="text/html"),
    "up7-empty": response(b""),
    "up7-array": response(b"[]"),
    "up7-broken": response(b'{"request_id":'),
    "up7-no-id": response(b'{"status":"queued"}'),
    "up7-number": response(record(7)),
    "up7-path": response(record("../models")),
    "up7-long": response(record("x" * 2**20)),
    "up7-null": response(record(None)),
    "up6-cut": response(record(str(uuid4())))[:-20],
    "up6-open-chunks": CHUNKED + b'5\r\n{"re',
    "up14-many-headers": response(b"{}", "200 OK", *(f"X-{number}: x" for number in range(10_000))),
    "up14-large-header": response(b"{}", "200 OK", "X-Large: " + "x" * 2**20),
    "up14-gzip": response(b"\x1f\x8b\x08\x00", "200 OK", "Content-Encoding: gzip"),
    "not-http": b"SSH-2.0-OpenSSH_9\r\n\r\n",
}


@pytest.mark.parametrize("page", INVALID.values(), ids=INVALID)
async def test_a_create_with_a_useless_answer_is_in_doubt(open_house: OpenHouse, page: bytes) -> None:
    async with unruly_world(open_house) as (world, upstream):
        upstream.scripts[CREATE] = sending(page)
        answer = await create(world)
        assert answer.status in (502, 504)
        refused(answer, answer.status, "upstream_invalid" if answer.status == 502 else "outcome_unknown")
        assert await world.books() == QH
        assert len(upstream.creates) == 1


@pytest.mark.parametrize("page", INVALID.values(), ids=INVALID)
async def test_a_poll_with_a_useless_answer_is_told_so(open_house: OpenHouse, page: bytes) -> None:
    async with unruly_world(open_house) as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        upstream.scripts["GET", f"{Q}/requests/{request_id}"] = sending(page)
        refused(await told(world, f"{Q}/requests/{request_id}"), 502, "upstream_invalid")
        upstream.scripts.clear()
        assert (await told(world, f"{Q}/requests/{request_id}")).status == 200
        assert await world.books() == Q1


async def test_up7_a_record_of_another_job_is_not_passed_on(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        mine, other = [(await create(world)).json["request_id"] for _ in range(2)]
        upstream.jobs[mine] = upstream.jobs[other]
        refused(await told(world, f"{Q}/requests/{mine}"), 502, "upstream_invalid")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 100, 999])
async def test_up13_a_redirect_is_followed_nowhere(open_house: OpenHouse, status: int) -> None:
    async with unruly_world(open_house) as (world, upstream), ScriptedUpstream(silence) as evil:
        for target in (evil.url, evil.url.removeprefix("http:")):
            redirect = response(record(str(uuid4())), f"{status} Moved", f"Location: {target}/api")
            upstream.scripts[CREATE] = upstream.scripts["GET", f"{Q}/models/Veo3-Fast"] = sending(redirect)
            assert (await create(world)).json["code"] in ("upstream_invalid", "outcome_unknown")
            refused(await told(world, f"{Q}/models/Veo3-Fast"), 502, "upstream_invalid")
        assert evil.connections == []
        assert await world.books() == (2, 2, 2)


async def test_up14_an_endless_answer_is_cut_off(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.answer.LARGEST_BODY", 64 * 1024)
    sent = 0

    async def endless(connection: Connection) -> None:
        nonlocal sent
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while True:
            await connection.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
            sent += 4096

    async with unruly_world(open_house) as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        upstream.scripts[CREATE] = upstream.scripts["GET", f"{Q}/requests/{request_id}"] = endless
        refused(await told(world, f"{Q}/requests/{request_id}"), 502, "upstream_invalid")
        refused(await create(world), 502, "upstream_invalid")
        assert await world.books() == (2, 2, 1)
    assert sent < 32 * 2**20  # what the sockets' buffers hold


# --- upstream does not answer --------------------------------------------------------------------------------------

SLOW: dict[str, Script] = {
    "silence": silence,
    "header-drip": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000, 0.05),
    "body-drip": dripping(response(b"{" + b" " * 1000), 0.01),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
async def test_up5_the_deadline_is_for_the_whole_answer(open_house: OpenHouse, script: Script) -> None:
    async with unruly_world(open_house, upstream_timeout="0.3", create_timeout="0.4") as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        upstream.scripts[CREATE] = upstream.scripts["GET", f"{Q}/requests/{request_id}"] = script
        began = time.monotonic()
        refused(await told(world, f"{Q}/requests/{request_id}"), 504, "upstream_timeout")
        refused(await create(world), 504, "outcome_unknown")
        assert seconds(began) < 2
        assert await world.books() == (2, 2, 1)


@pytest.mark.parametrize("status", ["502 Bad Gateway", "504 Gateway Timeout"])
async def test_up8_an_edge_that_gave_up_is_passed_on_and_the_create_stays_in_doubt(
    open_house: OpenHouse, status: str
) -> None:
    page = response(b"<html>edge</html>", status, media_type="text/html")
    async with unruly_world(open_house) as (world, upstream):
        upstream.scripts[CREATE] = sending(page)
        answer = await create(world)
        assert (answer.status, answer.body) == (int(status[:3]), b"<html>edge</html>")
        assert await world.books() == QH
        assert len(upstream.creates) == 1


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
async def test_up8_what_upstream_refused_itself_comes_back_once_its_list_shows_no_job(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_WHEN_REFUSED", 0.1)
    body = b'{"error":"Upstream capacity temporarily exhausted"}'
    async with unruly_world(open_house) as (world, upstream):
        upstream.scripts[CREATE] = sending(response(body, status))
        answer = await create(world)
        assert (answer.status, answer.body) == (int(status[:3]), body)
        assert ("retry-after" in answer.headers) == status.startswith("503")
        assert await world.books() == QH

        async def released() -> bool:
            return await world.books() == Q0

        await world.house.eventually(released)
        assert len(upstream.creates) == 1
        assert upstream.calls("GET", f"{Q}/requests?limit=200&offset=0&model_id=Veo3")


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "500 Oops"])
async def test_up8_a_poll_is_repeated_once_and_then_upstreams_own_answer_stands(
    open_house: OpenHouse, status: str
) -> None:
    page = response(b"<html>edge</html>", status, media_type="text/html")
    async with unruly_world(open_house) as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        upstream.answers["GET", f"{Q}/requests/{request_id}"] = page
        answer = await told(world, f"{Q}/requests/{request_id}")
        assert (answer.status, answer.body) == (int(status[:3]), b"<html>edge</html>")
        assert len(upstream.calls("GET", f"{Q}/requests/{request_id}")) == 2


# --- upstream refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_up9_a_refused_real_key_is_never_the_callers_and_costs_nothing(
    open_house: OpenHouse, status: str
) -> None:
    async with unruly_world(open_house) as (world, upstream):
        upstream.scripts[CREATE] = sending(response(b'{"error":"no"}', status, "WWW-Authenticate: Bearer"))
        refused(await create(world), 502, "upstream_credentials_rejected")
        assert await world.books() == Q0


async def test_up9_a_new_key_in_the_file_is_used_without_a_restart(
    open_house: OpenHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.credentials._READ_AGAIN", 0.0)
    (tmp_path / "key").write_text("canary-old-key")

    async def for_new_keys(connection: Connection) -> None:
        new = connection.requests[-1].header("authorization") == "Bearer canary-new-key"
        body = record(str(uuid4())) if new else b'{"error":"revoked"}'
        await connection.send(response(body, "200 OK" if new else "401 Unauthorized"))

    async with UnrulyUpstream() as upstream:
        upstream.scripts[CREATE] = for_new_keys
        files = {"a.yaml": team("a", KEY_A), "g.yaml": f"credentials: {{default: {{api_key: 'file:{tmp_path}/key'}}}}"}
        world = World(await open_house(files, upstream.url), upstream)
        refused(await create(world), 502, "upstream_credentials_rejected")
        (tmp_path / "key").write_text("canary-new-key\n")
        assert (await create(world)).status == 200


LIMITED = b'{"error":"Rate limit exceeded for model Veo3: 2 requests per 60 seconds. Retry in 29970 ms."}'
WAITS = {"30": 30, "garbage": 5, "1000000000": 300, "-1": 1, "Wed, 21 Oct 2015 07:28:30 GMT": 30}


@pytest.mark.parametrize(("field", "wait"), WAITS.items(), ids=WAITS)
async def test_up10_upstreams_429_is_told_to_all_without_asking_again(
    open_house: OpenHouse, field: str, wait: int
) -> None:
    page = response(LIMITED, "429 Too Many Requests", f"Retry-After: {field}", "Date: Wed, 21 Oct 2015 07:28:00 GMT")
    async with unruly_world(open_house) as (world, upstream):
        upstream.answers[CREATE] = page
        first = await create(world)
        again, others = await create(world), Answer.of(await world.b.create())
        assert (first.status, first.body) == (429, LIMITED)
        for answer in (first, again, others):
            assert answer.status == 429
            assert wait - 2 <= int(answer.headers["retry-after"]) <= wait
        for answer in (again, others):
            left = answer.json["rate_limit"]["retry_after_ms"]
            assert answer.json["error"] == f"Rate limit exceeded for model Veo3. Retry in {left} ms."
            assert answer.json["rate_limit"] == {"retry_after_ms": left}
            assert int(answer.headers["retry-after"]) == ceil(left / 1000)
        assert len(upstream.creates) == 1
        assert await world.books("a") == await world.books("b") == Q0

        del upstream.answers[CREATE]
        assert (await world.a.create("Veo3-Fast")).status_code == 200
        world.house.gw.gates.clear()
        assert (await create(world)).status == 200


async def test_up10_a_429_without_any_hint_is_given_one(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        upstream.answers[CREATE] = response(b'{"error":"slow","rate_limit":{"retry_after_ms":29970}}', "429 Slow")
        assert (await create(world)).headers["retry-after"] == "30"


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_up11_a_refusal_passes_untouched_and_costs_nothing(open_house: OpenHouse, status: int) -> None:
    body = b'{"error" : "the vendor\'s own words",\n "request_id":null}'
    async with unruly_world(open_house) as (world, upstream):
        upstream.answers[CREATE] = response(body, f"{status} No", "X-Kept: yes")
        answer = await create(world)
        assert (answer.status, answer.body, answer.headers["x-kept"]) == (status, body, "yes")
        assert await world.books() == Q0
        assert len(upstream.creates) == 1


async def test_up11_a_404_on_an_owned_id_passes_untouched_and_twice_frees_the_slot(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    async with unruly_world(open_house) as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        body = b'{"error":"gone"}'
        upstream.answers["GET", f"{Q}/requests/{request_id}"] = response(body, "404 Not Found")
        held = []
        for seconds in (settlement.MISSING_AT_FIRST, MISSING_APART):
            wall_clock.advance(seconds)
            world.house.gw.jobs.forget(request_id)
            answer = await told(world, f"{Q}/requests/{request_id}")
            assert (answer.status, answer.body) == (404, body)
            assert "code" not in answer.json
            held.append(await world.books())
        assert held == [(1, 1, 0), (1, 0, 0)]


async def test_up12_an_organisation_without_credit_is_told_in_upstreams_words(open_house: OpenHouse) -> None:
    body = b'{"error":"Insufficient credits. Please add more credits to your account."}'
    async with unruly_world(open_house) as (world, upstream):
        upstream.answers[CREATE] = response(body, "402 Payment Required")
        answer = await create(world)
        assert (answer.status, answer.body) == (402, body)
        assert await world.books() == Q0
        metrics = (await world.house.admin("/metrics")).text
        assert 'gateway_upstream_requests_total{code="402",operation="create_request"} 1.0' in metrics


# --- upstream under strain -----------------------------------------------------------------------------------------


async def test_up15_after_ten_failures_upstream_is_left_alone_until_a_probe_succeeds(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        path = ("GET", f"{Q}/requests/{request_id}")
        upstream.scripts[path] = reset
        for _ in range(10):
            assert (await told(world, path[1])).status == 502
        calls = len(upstream.calls(*path))
        assert calls <= 12

        began = time.monotonic()
        refused(await told(world, path[1]), 503, "upstream_circuit_open")
        refused(await create(world), 503, "upstream_circuit_open")
        assert seconds(began) < 0.5
        assert (await told(world, f"{Q}/models")).status == 200
        assert len(upstream.calls(*path)) == calls
        assert await world.books() == Q1

        upstream.scripts.clear()
        await asyncio.sleep(1.1)
        assert (await create(world)).status == 200
        assert await world.books() == (2, 2, 0)


async def test_up16_after_three_hundred_clients_vanished_everything_works(open_house: OpenHouse) -> None:
    chance = random.Random(16)
    async with unruly_world(open_house, max_in_flight="40") as (world, upstream):
        request_id = (await create(world)).json["request_id"]

        async def later(connection: Connection) -> None:
            await asyncio.sleep(0.05)
            await connection.send(response(record(request_id)))

        upstream.scripts["GET", f"{Q}/requests/{request_id}"] = later
        upstream.go.clear()

        async def vanish() -> None:
            wire = await world.connect()
            kind = chance.choice([post(draft()), get(f"{Q}/requests/{request_id}"), get(f"{Q}/models")])
            await wire.send(kind[: chance.choice([len(kind), len(kind), len(kind) - 3])])
            await asyncio.sleep(chance.random() * 0.1)
            wire.writer.transport.abort()

        for _ in range(6):
            await asyncio.gather(*(vanish() for _ in range(50)))
        upstream.go.set()
        await world.house.eventually(lambda: world.house.gw.upstream.in_flight == 0)

        async def idle() -> bool:
            return "gateway_requests_in_flight 0.0" in (await world.house.admin("/metrics")).text

        await world.house.eventually(idle)
        upstream.scripts.clear()

        before = len(upstream.creates)
        answers = [await create(world) for _ in range(10)]
        assert [answer.status for answer in answers] == [200] * 10
        assert len(upstream.creates) == before + 10
        assert await world.books() == (before + 10, before + 10, 0)


async def test_up17_what_is_too_much_is_refused_at_once_and_what_is_known_is_served(open_house: OpenHouse) -> None:
    async with unruly_world(open_house, max_in_flight="8") as (world, upstream):
        upstream.go.clear()
        running = [asyncio.ensure_future(create(world)) for _ in range(8)]
        await world.house.eventually(lambda: len(upstream.creates) == 8)

        began = time.monotonic()
        excess = [await create(world) for _ in range(20)]
        assert seconds(began) < 2
        for answer in excess:
            refused(answer, 503, "overloaded")
        assert (await told(world, f"{Q}/models")).status == 200
        assert len(upstream.creates) == 8

        upstream.go.set()
        assert [(await each).status for each in running] == [200] * 8
        assert (await create(world)).status == 200
        assert await world.books() == (9, 9, 0)
