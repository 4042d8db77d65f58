"""A create of which nobody knows whether it happened: rows AC1, AC2 and AC4."""

import asyncio
import json
from typing import Any

import pytest

from gateway import recovery
from tests.conftest import House, OpenHouse
from tests.fake_upstream import Q
from tests.faults.conftest import World, refused
from tests.faults.unruly import CREATE, LIST, UnrulyUpstream, dripping, reset, sending, silence, unruly_world
from tests.faults.wire import KEY_A, Answer
from tests.scripted_upstream import Connection, Script, response

Q0, Q1, QH = (0, 0, 0), (1, 1, 0), (1, 1, 1)
"""A team's jobs counted, slots held, and reservations without a job."""

KEYED = {"Idempotency-Key": "k"}


async def create(world: World, **options: Any) -> Answer:
    return Answer.of(await world.a.create(**options))


def accepting(upstream: UnrulyUpstream, then: Script) -> Script:
    """Upstream takes the job on, and only then does what `then` does."""

    async def script(connection: Connection) -> None:
        upstream._create(json.loads(connection.requests[-1].body))
        await then(connection)

    return script


async def until(world: World, books: tuple[int, int, int], house: House | None = None) -> None:
    """Wait until team a's books are so, looking at upstream's list as often as it takes."""

    async def are_so() -> bool:
        await look_again(house or world.house)
        return await world.books() == books

    await world.house.eventually(are_so)


async def look_again(house: House) -> None:
    """Have it look at upstream's list now for what it has looked for before."""
    for each in await house.gw.ledger.jobless.all():
        if house.gw.jobs.searched(each.id) is not None:
            house.gw.jobs.note_search(each.id, 0.0)
    house.gw.wake.set()


LOST: dict[str, Script] = {
    "reset": reset,
    "closed": sending(b""),
    "silence": silence,
    "half-an-answer": sending(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "header-drip": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000, 0.05),
}


@pytest.mark.parametrize("loss", LOST.values(), ids=LOST)
async def test_ac1_a_job_whose_answer_was_lost_is_held_then_found(open_house: OpenHouse, loss: Script) -> None:
    async with unruly_world(open_house, create_timeout="0.3", upstream_timeout="0.3") as (world, upstream):
        upstream.scripts[LIST] = silence
        upstream.scripts[CREATE] = accepting(upstream, loss)
        refused(await create(world), 504, "outcome_unknown")
        assert await world.books() == QH
        assert (await world.a.get(f"{Q}/requests")).json()["total"] == 0

        upstream.scripts.clear()
        await until(world, Q1)
        (request_id,) = upstream.jobs
        listed = (await world.a.get(f"{Q}/requests")).json()["requests"]
        assert [each["request_id"] for each in listed] == [request_id]
        assert (await world.a.get(f"{Q}/requests/{request_id}")).status_code == 200
        assert (await world.b.get(f"{Q}/requests/{request_id}")).status_code == 404
        assert len(upstream.creates) == 1


async def test_ac1_a_job_that_is_provably_absent_is_given_back(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", 0.2)
    async with unruly_world(open_house, create_timeout="0.5") as (world, upstream):
        upstream.scripts[CREATE] = reset
        refused(await create(world, headers=KEYED), 504, "outcome_unknown")
        assert await world.books() == QH
        await until(world, Q0)
        upstream.scripts.clear()
        assert (await create(world, headers=KEYED)).status == 200
        assert len(upstream.creates) == 2


@pytest.mark.parametrize("status", ["502 Bad Gateway", "504 Gateway Timeout"])
async def test_ac1_a_create_given_up_by_an_edge_is_held_while_upstream_may_still_be_at_it(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_WHEN_REFUSED", 0.0)
    async with unruly_world(open_house) as (world, upstream):
        upstream.scripts[CREATE] = sending(response(b"edge", status))
        assert (await create(world)).status == int(status[:3])

        async def looked_in_vain() -> bool:
            await look_again(world.house)
            return sum(each.target.startswith(f"{Q}/requests?") for each in upstream.received) >= 2

        await world.house.eventually(looked_in_vain)
        assert await world.books() == QH
        (sent,) = upstream.creates
        upstream._create(json.loads(sent.body))
        await until(world, Q1)


async def test_ac2_a_repeat_with_the_same_key_waits_for_the_truth_and_never_pays_twice(open_house: OpenHouse) -> None:
    async with unruly_world(open_house, upstream_timeout="0.5") as (world, upstream):
        replica: House = await open_house({}, upstream.url)
        upstream.scripts[LIST] = silence
        upstream.scripts[CREATE] = accepting(upstream, reset)
        refused(await create(world, headers=KEYED), 504, "outcome_unknown")

        for house in (world.house, replica):
            for _ in range(5):
                again = Answer.of(await house.client(KEY_A).create(headers=KEYED))
                assert (again.status, again.json["code"]) == (409, "outcome_unknown")
                assert int(again.headers["retry-after"]) >= 1
        assert await world.books() == QH

        upstream.scripts.clear()
        await until(world, Q1)
        (request_id,) = upstream.jobs
        for house in (world.house, replica):
            replay = Answer.of(await house.client(KEY_A).create(headers=KEYED))
            assert (replay.status, replay.json["request_id"]) == (200, request_id)
            assert replay.headers["idempotency-replayed"] == "true"
        assert len(upstream.creates) == 1


async def test_ac2_a_repeat_without_a_key_is_a_new_job(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        upstream.scripts[CREATE] = accepting(upstream, reset)
        refused(await create(world), 504, "outcome_unknown")
        upstream.scripts.clear()
        assert (await create(world)).status == 200
        await until(world, (2, 2, 0))
        assert len(upstream.creates) == len(upstream.jobs) == 2


async def test_ac4_what_was_never_sent_is_given_back_and_what_may_have_been_is_held(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        await upstream._server.__aexit__(None, None, None)
        refused(await create(world), 502, "upstream_unreachable")
        assert await world.books() == Q0

    async def cut_while_reading(connection: Connection) -> None:
        await connection.reader.readexactly(1000)
        connection.reset()

    async with unruly_world(open_house) as (world, upstream):
        upstream._server._scripts = (cut_while_reading,)
        for connection in upstream._server.connections:
            connection.reset()
        await asyncio.sleep(0.05)
        refused(await create(world, payload={"prompt": "x" * 2**19}), 504, "outcome_unknown")
        assert await world.books() == QH


async def test_ac1_a_list_in_short_pages_is_read_to_its_end(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", 0.0)

    async with unruly_world(open_house, create_timeout="0.3") as (world, upstream):
        upstream.scripts[CREATE] = accepting(upstream, reset)
        for offset, more in ((0, True), (1, True), (2, False)):
            page = {"requests": [], "has_more": more, "total": 3}
            if more:
                page["requests"] = [{"request_id": f"other-{offset}", "model": "Veo3", "created_at": 2e9 - offset}]
            upstream.answers["GET", f"{Q}/requests?limit=200&offset={offset}&model_id=Veo3"] = response(
                json.dumps(page).encode()
            )
        refused(await create(world), 504, "outcome_unknown")
        (request_id,) = upstream.jobs
        upstream.answers["GET", f"{Q}/requests?limit=200&offset=2&model_id=Veo3"] = response(
            json.dumps({"requests": list(upstream.jobs.values()), "has_more": False, "total": 3}).encode()
        )
        await until(world, Q1)
        assert (await world.a.get(f"{Q}/requests/{request_id}")).status_code == 200


async def test_ac1_a_refused_create_leaves_no_job_that_a_lost_one_could_be_taken_for(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):

        async def moderated(connection: Connection) -> None:
            upstream._create(json.loads(connection.requests[-1].body))
            (left_behind,) = upstream.jobs
            upstream.jobs[left_behind]["status"] = "failed"
            body = json.dumps({"error": "moderated", "request_id": left_behind}).encode()
            await connection.send(response(body, "400 Bad Request"))

        upstream.scripts[CREATE] = moderated
        answer = await create(world, headers=KEYED)
        left_behind = answer.json["request_id"]
        assert (answer.status, await world.books()) == (400, Q0)
        assert (await create(world, headers=KEYED)).body == answer.body
        assert (await world.a.get(f"{Q}/requests/{left_behind}")).json()["status"] == "failed"
        assert (await world.b.get(f"{Q}/requests/{left_behind}")).status_code == 404

        upstream.scripts[CREATE] = accepting(upstream, sending(response(b"edge", "504 Gateway Timeout")))
        assert (await create(world)).status == 504
        await until(world, Q1)
        listed = (await world.a.get(f"{Q}/requests")).json()["requests"]
        assert [each["status"] for each in listed] == ["queued", "failed"]
