import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.core.lifecycle import Outcome, State
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Job, KeptAnswer, OwnedByAnother, Owner, Replay, Sighting
from tests.ledger.samples import NOW, claim, create, money, on_sqlite, placement, reservation, send, slot

OWNER = Owner("red", "web", "Veo3", "default", NOW, 300, charge_failed=False)


async def test_a_placed_job_has_its_owner_for_ever(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", price=300))
    assert await ledger.owner_of(request_id) == OWNER
    await ledger.settle(Sighting(request_id, "failed", None), Outcome.FAILED, NOW)
    await ledger.purge(NOW + 400 * 86_400)
    owner = await ledger.owner_of(request_id)
    assert owner is not None
    assert (owner.team, owner.outcome, owner.charge(Outcome.FAILED)) == ("red", Outcome.FAILED, 0)
    assert await ledger.owner_of("nobody's") is None


async def test_a_job_that_ended_at_once_is_settled_with_its_placement(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", slot(), money(300)), Outcome.SUCCESS)
    assert await ledger.used(["red/at-once", "red/usd/2027-01"]) == {"red/at-once": 0, "red/usd/2027-01": 300}
    assert not await ledger.settle(Sighting(request_id, "success", None), Outcome.SUCCESS, NOW)
    job = await ledger.job(request_id)
    assert job is not None
    assert (job.status, job.record, job.settled_at) == ("success", b'{"status":"success"}', NOW)
    assert await ledger.looks.take(NOW + 1000, 10) == []


async def test_a_repeated_placement_changes_nothing(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", slot()), Outcome.SUCCESS)
    assert await ledger.place(placement("a", request_id, reply=KeptAnswer(500, (), b"")), NOW + 9) is None
    job = await ledger.job(request_id)
    assert job is not None
    assert job.status == "success"
    assert await ledger.verify() == []


async def test_az7_an_id_that_is_another_teams_stays_theirs_and_leaves_a_doubt(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", price=300))
    await send(ledger, reservation("b", claim("c"), team="blue"))
    assert await ledger.place(placement("b", request_id, Outcome.SUCCESS), NOW) == OwnedByAnother()
    assert await ledger.owner_of(request_id) == OWNER
    [waiting] = await ledger.jobless.all()
    assert (waiting.id, waiting.state) == ("b", State.UNKNOWN)
    assert await ledger.used(["c"]) == {"c": 1}


async def test_one_reservation_becomes_one_job(ledger: Ledger) -> None:
    await create(ledger, reservation("a"))
    assert await ledger.place(placement("a", "second"), NOW) == OwnedByAnother()
    assert await ledger.owner_of("second") is None
    assert await ledger.jobless.all() == []


async def test_a_released_reservation_cannot_become_a_job(ledger: Ledger) -> None:
    await send(ledger, reservation("a", claim("c")))
    await ledger.release("a", NOW, None)
    assert await ledger.place(placement("a", "late"), NOW) == OwnedByAnother()
    assert await ledger.owner_of("late") is None
    assert await ledger.used(["c"]) == {"c": 0}


async def test_a_live_record_is_kept_as_last_seen(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", price=300))
    assert await ledger.observe(Sighting(request_id, "processing", b"new", complete=False), NOW + 5)
    assert await ledger.job(request_id) == Job(
        request_id, "red", "web", "Veo3", "processing", b"new", False, 300, NOW, None, None
    )
    assert not await ledger.observe(Sighting("nobody's", "processing", b"new"), NOW)


async def test_of_records_that_are_kept_at_once_the_last_one_stays(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a"))
    statuses = [f"step-{number}" for number in range(40)]
    sightings = [Sighting(request_id, status, b"{}") for status in statuses]
    assert all(await asyncio.gather(*(ledger.observe(seen, NOW) for seen in sightings)))
    job = await ledger.job(request_id)
    assert job is not None
    assert job.status == statuses[-1]


async def test_the_end_keeps_the_last_record_where_it_brings_none(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a"))
    await ledger.observe(Sighting(request_id, "processing", b"seen", complete=False), NOW)
    assert await ledger.settle(Sighting(request_id, "expired", None), Outcome.EXPIRED, NOW + 9)
    job = await ledger.job(request_id)
    assert job is not None
    assert (job.status, job.record, job.complete) == ("expired", b"seen", False)
    assert (job.settled_at, job.outcome) == (NOW + 9, Outcome.EXPIRED)
    assert not await ledger.observe(Sighting(request_id, "processing", b"late"), NOW + 10)
    assert not await ledger.settle(Sighting("nobody's", "success", None), Outcome.SUCCESS, NOW)
    assert await ledger.job("nobody's") is None


async def test_jobs_are_listed_newest_first_and_only_the_teams_own(ledger: Ledger) -> None:
    for number in range(5):
        model = "Veo3" if number % 2 else "Kling"
        await create(ledger, reservation(str(number), model=model, at=NOW + number))
    await create(ledger, reservation("other", team="blue", at=NOW + 9))
    jobs, total = await ledger.list_jobs("red", None, 2, 1)
    assert ([job.request_id for job in jobs], total) == (["request-3", "request-2"], 5)
    jobs, total = await ledger.list_jobs("red", "Veo3", 50, 0)
    assert ([job.request_id for job in jobs], total) == (["request-3", "request-1"], 2)
    jobs, total = await ledger.list_jobs(None, None, 1, 0)
    assert ([job.team for job in jobs], total) == (["blue"], 6)
    assert await ledger.list_jobs("nobody", None, 50, 0) == ([], 0)


async def test_a_page_of_large_records_ends_early_but_holds_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.jobs.LARGEST_PAGE", 100)
    for number, size in enumerate((40, 60, 1, 500)):
        request_id = await create(ledger, reservation(str(number), at=NOW + number))
        await ledger.observe(Sighting(request_id, "processing", bytes(size)), NOW + 9)
    pages = [await ledger.list_jobs("red", None, 50, offset) for offset in range(4)]
    found = [[job.request_id.removeprefix("request-") for job in jobs] for jobs, _ in pages]
    assert found == [["3"], ["2", "1"], ["1", "0"], ["0"]]
    assert [total for _, total in pages] == [4] * 4


async def test_jobs_of_one_instant_have_one_order(ledger: Ledger) -> None:
    for name in "bca":
        await create(ledger, reservation(name))
    pages = [await ledger.list_jobs("red", None, 1, offset) for offset in range(3)]
    assert [job.request_id for jobs, _ in pages for job in jobs] == ["request-c", "request-b", "request-a"]


async def test_owners_tells_which_ids_are_whose(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", price=300))
    assert await ledger.owners([request_id, "nobody's"]) == {request_id: OWNER}
    assert await ledger.owners([]) == {}


_LIST = "SELECT * FROM jobs WHERE record IS NOT NULL AND {} ORDER BY created_at DESC, request_id DESC LIMIT 50"


@on_sqlite
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (_LIST.format("team = 'red'"), "jobs_by_team"),
        (_LIST.format("team = 'red' AND model = 'Veo3'"), "jobs_by_model"),
        (_LIST.format("1"), "jobs_by_time"),
        ("SELECT count(*) FROM jobs WHERE record IS NOT NULL AND team = 'red'", "jobs_by_"),
        ("SELECT * FROM jobs WHERE settled_at IS NULL AND next_look_at <= 1 ORDER BY next_look_at", "jobs_open"),
    ],
)
async def test_lists_are_read_from_an_index_and_not_sorted(ledger: Ledger, file: Path, query: str, index: str) -> None:
    with sqlite3.connect(file) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    connection.close()
    assert len(plan) == 1
    assert index in plan[0]


async def test_up11_a_refused_create_that_left_a_failed_job_gives_everything_back_and_owns_it(ledger: Ledger) -> None:
    await send(ledger, reservation("a", slot(), money(300), claim("count"), price=300, charge_failed=True, key="k"))
    refusal = KeptAnswer(400, (), b"no")
    left = Sighting("left-behind", "failed", b'{"why": 1}', complete=False)
    assert await ledger.refuse("a", left, NOW + 1, refusal)
    assert not await ledger.refuse("a", left, NOW + 2, None)
    assert set((await ledger.used(["red/at-once", "red/usd/2027-01", "count"])).values()) == {0}
    owner = await ledger.owner_of("left-behind")
    assert owner is not None
    assert (owner.team, owner.outcome, owner.charge(Outcome.FAILED)) == ("red", Outcome.FAILED, 0)
    assert await ledger.reserve(reservation("b", key="k"), NOW) == Replay(refusal)
    [listed], _ = await ledger.list_jobs("red", None, 50, 0)
    assert (listed.request_id, listed.status, listed.record, listed.complete) == (
        "left-behind",
        "failed",
        left.record,
        False,
    )
    assert await ledger.looks.take(NOW + 1000, 10) == []
    assert await ledger.jobless.all() == []
    [row] = await ledger.usage("red", NOW - 1, NOW + 1)
    assert (row.jobs, row.failed, row.charged, row.held) == (1, 1, 0, 0)
    assert await ledger.verify() == []


async def test_az7_a_refused_create_does_not_take_anothers_job(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", price=300))
    await send(ledger, reservation("b", claim("c"), team="blue"))
    assert await ledger.refuse("b", Sighting(request_id, "failed", b"{}"), NOW, None)
    assert await ledger.owner_of(request_id) == OWNER
    assert await ledger.used(["c"]) == {"c": 0}
    assert await ledger.jobless.all() == []


async def test_placements_together_fail_alone(ledger: Ledger) -> None:
    theirs = await create(ledger, reservation("theirs"))
    for name in "abcd":
        await send(ledger, reservation(name, slot(), key=name))
    wanted = [
        placement("a", "request-a"),
        placement("b", theirs),
        placement("c", "request-c", Outcome.SUCCESS),
        placement("d", "request-d"),
    ]
    assert await asyncio.gather(*(ledger.place(each, NOW) for each in wanted)) == [None, OwnedByAnother(), None, None]
    assert [each.id for each in await ledger.jobless.all()] == ["b"]
    assert await ledger.used(["red/at-once"]) == {"red/at-once": 3}
    for name in "acd":
        assert await ledger.earlier(reservation("again", key=name), NOW) == Replay(placement(name, "").reply)
        assert await ledger.owner_of(f"request-{name}") is not None
    assert await ledger.verify() == []


async def test_counting_a_long_list_ends_some_way_behind_the_page(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.jobs.COUNTED", 2)
    for number in range(6):
        await create(ledger, reservation(str(number), at=NOW + number))
    totals = [(await ledger.list_jobs("red", None, 1, offset))[1] for offset in range(7)]
    assert totals == [3, 4, 5, 6, 6, 6, 6]
