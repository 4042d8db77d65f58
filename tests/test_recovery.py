"""A create whose answer was lost is found, or shown to be absent, and is never sent again."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

import pytest

from gateway import recovery
from gateway.context import Gateway
from gateway.core.claims import Claim, OnSettle
from gateway.core.digests import digest_payload
from gateway.core.lifecycle import State
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import NewReservation, OpenReservation
from gateway.simulator.jobs import Draft
from tests.clocks import WallClock, wall_clock
from tests.conftest import REAL_ORG, House, OpenHouse, Q, team

__all__ = ["wall_clock"]

FILES = {
    "a.yaml": team("a", "key", "limits: [10 jobs per day, 5 jobs at once, 100 USD per month]"),
    "b.yaml": team("b", "other"),
}
PROMPT = {"prompt": "a lighthouse"}
NOTHING, HELD = (0, 0, 0), (1, 1, 3_200_000)


async def books(house: House) -> tuple[int, int, int]:
    """Jobs counted, slots held, micro-USD; every counter is proven on the way."""
    assert await house.gw.ledger.verify() == []
    values = await house.gw.ledger.used(await house.counters())
    slots = sum(value for name, value in values.items() if "/at-once/" in name)
    jobs = sum(value for name, value in values.items() if name.startswith("jobs/")) - slots
    return jobs, slots, sum(value for name, value in values.items() if name.startswith("USD/"))


async def states(house: House) -> list[State]:
    """Where the reservations without a job stand."""
    return [each.state for each in await house.gw.ledger.jobless.all()]


def resolved(house: House) -> Callable[[], Awaitable[bool]]:
    """Whether no reservation is without a job, looked at anew each time it is asked."""

    async def no_longer() -> bool:
        for each in await house.gw.ledger.jobless.all():
            if house.gw.jobs.searched(each.id) is not None:
                house.gw.jobs.note_search(each.id, 0.0)
        house.gw.wake.set()
        return await states(house) == []

    return no_longer


async def leave_behind(
    house: House, name: str, *, now: float, of: str = "a", sent: bool = True, gone: bool = False
) -> None:
    """A create of a team that got so far and no further; of the house's own gateway, or of one that is gone."""
    reservation = NewReservation(
        id=name,
        team=of,
        key="main",
        model="Veo3",
        credential="default",
        price=0,
        seconds=0,
        charge_failed=False,
        claims=(Claim("jobs/a//day/", 1, 10, OnSettle.KEEP, (), None),),
        body_digest=b"digest",
        payload_digest=digest_payload(PROMPT),
        idempotency_key=None,
        created_at=now,
        repeats_for=24 * 3600.0,
    )
    ledger = Ledger(house.gw.settings.ledger) if gone else house.gw.ledger
    if gone:
        await ledger.open()
    await ledger.reserve(reservation, now)
    if sent:
        await ledger.mark_sent(name, now)
    if gone:
        await ledger.close()


async def lose(house: House, name: str, *, at: float, of: str = "a") -> None:
    """A create of which nothing was heard."""
    await leave_behind(house, name, now=at, of=of)
    await house.gw.ledger.doubt(name, at)


async def look_again(house: House, *, after: float = 0.0) -> dict[str, str]:
    """Look once more, `after` seconds from the first time; which creates have which jobs by then."""
    house.gw.jobs.keep_searches(())
    for each in await house.gw.ledger.jobless.all():
        house.gw.jobs.note_search(each.id, house.gw.ticks() - after)
        house.gw.jobs.note_search(each.id, house.gw.ticks() - max(1.0, after / 2))
    await recovery.recover(house.gw)
    return jobs_of(house)


def jobs_of(house: House) -> dict[str, str]:
    """Which creates have which jobs."""
    with sqlite3.connect(house.gw.settings.ledger.removeprefix("sqlite:///")) as ledger:
        return dict(ledger.execute("SELECT reservation_id, request_id FROM jobs").fetchall())


@pytest.fixture
async def quiet_house(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> House:
    """One that looks for lost creates only when the test says so, and whose upstream has one job of no interest."""
    recover = recovery.recover

    async def idle(_gw: Gateway) -> None:
        return

    monkeypatch.setattr(recovery, "recover", idle)
    house: House = await open_house(FILES, speed=1)
    monkeypatch.setattr(recovery, "recover", recover)
    assert (await house.client("key").create("Veo3", {"prompt": "the first"})).status_code == 200
    return house


def happen(house: House, payload: dict[str, object], at: float) -> str:
    """A job that upstream has and nobody was told of."""
    simulation = house.upstream.simulation
    model = next(job.draft.model for job in simulation.jobs.of(REAL_ORG))
    return simulation.jobs.create(REAL_ORG, Draft(model, payload, 100), at).request_id


@pytest.mark.parametrize(("fault", "status"), [("reset-after", 504), ("504", 504)])
async def test_ac1_a_job_whose_answer_was_lost_is_found_and_given_to_its_team(
    open_house: OpenHouse, fault: str, status: int
) -> None:
    house = await open_house(FILES, speed=1)
    house.break_upstream(f"create_request:{fault}:1:1")
    client = house.client("key")
    assert (await client.create(headers={"Idempotency-Key": "k"})).status_code == status
    await house.eventually(resolved(house))

    assert await books(house) == HELD
    listed = (await client.get(f"{Q}/requests")).json()
    assert listed["total"] == 1
    request_id = listed["requests"][0]["request_id"]
    assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
    assert (await house.client("other").get(f"{Q}/requests/{request_id}")).status_code == 404
    replay = await client.create(headers={"Idempotency-Key": "k"})
    assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
    assert house.received("create_request") == 1


async def test_ac1_a_lost_create_is_looked_for_at_once(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.duties.SETTLE_EVERY", 60.0)
    house = await open_house(FILES, speed=1)
    house.break_upstream("create_request:reset-after:1:1")
    assert (await house.client("key").create()).status_code == 504
    await house.eventually(lambda: house.received("list_requests") >= 1)


async def test_ac1_a_job_that_is_provably_absent_gives_everything_back(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(FILES, create_timeout="0.5")
    house.break_upstream("create_request:reset-before:1:1")
    answer = await house.client("key").create()
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
    await house.eventually(lambda: house.received("list_requests") >= 1)
    assert await states(house) == [State.UNKNOWN]
    assert await books(house) == HELD

    monkeypatch.setattr(recovery, "PATIENCE", 0.1)
    await asyncio.sleep(0.1)
    await house.eventually(resolved(house))
    assert await books(house) == NOTHING


async def test_up8_what_upstream_itself_refused_is_given_back_after_the_list_shows_nothing(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_WHEN_REFUSED", 0.1)
    house = await open_house(FILES)
    house.break_upstream("create_request:503:1:1")
    answer = await house.client("key").create()
    assert (answer.status_code, "code" in answer.json()) == (503, False)
    assert await books(house) == HELD
    await house.eventually(resolved(house))
    assert await books(house) == NOTHING


async def test_up8_a_failed_row_that_a_500_left_behind_is_the_teams_and_costs_nothing(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    house.break_upstream("create_request:500:1:1")
    assert (await house.client("key").create()).status_code == 500
    await house.eventually(resolved(house))
    assert await books(house) == (1, 0, 0)
    assert (await house.client("key").get(f"{Q}/requests")).json()["requests"][0]["status"] == "failed"


async def test_ac6_what_cannot_be_found_out_stays_charged(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", 0.0)
    house = await open_house(FILES, create_timeout="0.5")
    house.break_upstream("create_request:reset-before", "list_requests:503")
    assert (await house.client("key").create()).status_code == 504
    wall_clock.advance(30 * 24 * 3600)
    for _ in range(3):
        asked = house.received("list_requests")
        await resolved(house)()
        await house.eventually(lambda asked=asked: house.received("list_requests") > asked)
    assert await states(house) == [State.UNKNOWN]
    assert await books(house) == (1, 0, 3_200_000), "its slot is free after a day, like that of a job without end"
    metrics = (await house.admin("/metrics")).text
    assert 'gateway_reservations_open{state="unknown"} 1.0' in metrics


async def test_two_equal_lost_creates_take_a_job_each(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    house.break_upstream("create_request:reset-after:1:2")
    for _ in range(2):
        assert (await house.client("key").create()).status_code == 504
    await house.eventually(resolved(house))
    listed = (await house.client("key").get(f"{Q}/requests")).json()["requests"]
    assert len({record["request_id"] for record in listed}) == 2
    assert (await books(house))[0] == 2


async def test_a_job_of_another_model_payload_or_day_is_not_taken(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client, now = house.client("key"), house.gw.now()
    assert (await client.create("Veo3", {"prompt": "the first"})).status_code == 200
    happen(house, {"prompt": "another"}, now)
    happen(house, dict(PROMPT), now - recovery.LARGEST_SKEW - 10)
    await leave_behind(house, "lost", now=now)
    await house.gw.ledger.doubt("lost", now)
    await recovery.recover(house.gw)
    assert await states(house) == [State.UNKNOWN]


async def test_a_job_that_a_create_under_way_may_have_made_is_left_to_it(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", 0.0)
    house = await open_house(FILES, speed=1)
    client, now = house.client("key"), house.gw.now()
    assert (await client.create("Veo3", {"prompt": "the first"})).status_code == 200
    await leave_behind(house, "lost", now=now)
    await house.gw.ledger.doubt("lost", now)
    house.break_upstream("create_request:latency:0.5:1")
    running = asyncio.ensure_future(house.client("other").create("Veo3", dict(PROMPT)))
    await house.eventually(lambda: house.received("create_request") == 2)
    theirs = happen(house, dict(PROMPT), now)

    for _ in range(3):
        await resolved(house)()
        await recovery.recover(house.gw)
    assert sorted(await states(house)) == [State.SENT, State.UNKNOWN]
    assert await house.gw.ledger.owner_of(theirs) is None

    await running
    await house.eventually(resolved(house))
    owner = await house.gw.ledger.owner_of(theirs)
    assert owner is not None
    assert owner.team == "a"


async def test_a_stream_of_equal_creates_does_not_hide_a_lost_one_for_ever(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client, now = house.client("key"), house.gw.now()
    assert (await client.create("Veo3", {"prompt": "the first"})).status_code == 200
    earlier = now - recovery.CLOCK_TOLERANCE - 2
    lost = happen(house, dict(PROMPT), earlier)
    await leave_behind(house, "lost", now=earlier)
    await house.gw.ledger.doubt("lost", earlier)
    await leave_behind(house, "running", now=now)
    await recovery.recover(house.gw)
    assert await states(house) == [State.SENT]
    assert await house.gw.ledger.owner_of(lost) is not None


async def test_kl1_kl2_what_was_left_behind_is_released_or_doubted_and_never_sent(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    now = house.gw.now()
    await leave_behind(house, "unsent", now=now, sent=False, gone=True)
    await leave_behind(house, "sent", now=now, gone=True)

    restarted = await open_house(FILES, upstream=house.upstream.url)

    async def doubted() -> bool:
        return await states(restarted) == [State.UNKNOWN]

    await restarted.eventually(doubted)
    assert (await books(restarted))[0] == 1
    await restarted.eventually(lambda: house.received("list_requests") >= 1)
    assert house.received("create_request") == 0


async def test_tw4_a_clock_that_was_set_back_hides_nothing_that_was_left_behind(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    house = await open_house(FILES)
    await leave_behind(house, "unsent", now=house.gw.now(), sent=False, gone=True)
    wall_clock.advance(-3600)
    restarted = await open_house(FILES, upstream=house.upstream.url)
    await restarted.eventually(resolved(restarted))
    assert await books(restarted) == NOTHING


async def test_kl7_what_is_under_way_is_left_alone_until_it_can_no_longer_be(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    longest = house.gw.settings.create_timeout + recovery.GRACE
    await leave_behind(house, "running", now=house.gw.now() - longest + 5)
    await leave_behind(house, "overdue", now=house.gw.now() - longest - 5)
    await leave_behind(house, "sending", now=house.gw.now() - recovery.GRACE + 5, sent=False)
    await leave_behind(house, "unsent", now=house.gw.now() - recovery.GRACE - 5, sent=False)
    await recovery.recover(house.gw)
    left = {each.id: each.state for each in await house.gw.ledger.jobless.all()}
    assert left == {"running": State.SENT, "overdue": State.UNKNOWN, "sending": State.RESERVED}


async def test_kl5_a_create_that_is_sent_while_another_finds_it_left_behind_stays_charged(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(FILES)
    now = house.gw.now()
    await leave_behind(house, "cut off", now=now, sent=False, gone=True)
    found = await house.gw.ledger.jobless.all()
    monkeypatch.setattr(house.gw.ledger.jobless, "unattended", returning(found))
    await house.gw.ledger.mark_sent("cut off", now)
    await recovery.recover(house.gw)
    assert await states(house) == [State.UNKNOWN]
    assert (await books(house))[0] == 1


def returning(value: list[OpenReservation]) -> Callable[..., Awaitable[list[OpenReservation]]]:
    async def read(*_: object) -> list[OpenReservation]:
        return value

    return read


async def test_looks_become_rarer(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    await leave_behind(house, "lost", now=house.gw.now())
    await house.gw.ledger.doubt("lost", house.gw.now())
    await house.eventually(lambda: house.received("list_requests") == 1)
    now = house.gw.ticks()
    house.gw.jobs.keep_searches(())
    for ticks in (now - 40, now - 5):
        house.gw.jobs.note_search("lost", ticks)
    await recovery.recover(house.gw)
    assert house.received("list_requests") == 1
    house.gw.jobs.keep_searches(())
    for ticks in (now - 50, now - 12):
        house.gw.jobs.note_search("lost", ticks)
    await recovery.recover(house.gw)
    await house.eventually(lambda: house.received("list_requests") == 2)


async def test_ac1_a_create_that_upstream_may_still_be_at_is_not_given_up(quiet_house: House) -> None:
    longest = quiet_house.gw.settings.create_timeout + recovery.PATIENCE
    await lose(quiet_house, "lost", at=quiet_house.gw.now())
    await look_again(quiet_house, after=longest - 1)
    assert await states(quiet_house) == [State.UNKNOWN]
    late = happen(quiet_house, dict(PROMPT), quiet_house.gw.now() + longest - 1)
    assert (await look_again(quiet_house, after=longest - 1))["lost"] == late


async def test_ac1_a_create_that_nobody_can_be_at_any_more_is_given_up(quiet_house: House) -> None:
    await lose(quiet_house, "lost", at=quiet_house.gw.now())
    await look_again(quiet_house, after=quiet_house.gw.settings.create_timeout + recovery.PATIENCE + 1)
    assert await states(quiet_house) == []


async def test_patience_does_not_begin_anew_with_a_gateway(quiet_house: House) -> None:
    patience = quiet_house.gw.settings.create_timeout + recovery.PATIENCE
    await lose(quiet_house, "lost", at=quiet_house.gw.now() - patience + 5)
    await recovery.recover(quiet_house.gw)
    assert await states(quiet_house) == [State.UNKNOWN]
    quiet_house.gw.jobs.keep_searches(())
    await lose(quiet_house, "longer", at=quiet_house.gw.now() - patience - 1)
    await recovery.recover(quiet_house.gw)
    assert [each.id for each in await quiet_house.gw.ledger.jobless.all()] == ["lost"]


async def test_of_several_records_the_one_nearest_to_the_create_is_its_job(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "lost", at=now)
    jobs = [happen(quiet_house, dict(PROMPT), now + seconds) for seconds in (-4, 0, 30)]
    assert (await look_again(quiet_house))["lost"] == jobs[1]


async def test_a_teams_equal_lost_creates_take_as_many_records_in_their_order(
    quiet_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_house.gw.rounds, "at_once", 1)  # one that is adopted meanwhile would change their number
    now = quiet_house.gw.now()
    for number in range(3):
        await lose(quiet_house, f"lost-{number}", at=now + number)
    jobs = [happen(quiet_house, dict(PROMPT), now + 2 + number) for number in range(3)]
    placed = await look_again(quiet_house)
    assert [placed[f"lost-{number}"] for number in range(3)] == jobs


async def test_az7_what_two_teams_may_have_made_is_neither_ones(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "lost-a", at=now)
    await lose(quiet_house, "lost-b", at=now + 1, of="b")
    happen(quiet_house, dict(PROMPT), now + 1)
    for after in (0, 10_000):
        assert len(await look_again(quiet_house, after=after)) == 1
    assert await states(quiet_house) == [State.UNKNOWN] * 2


async def test_az7_equal_creates_of_two_teams_are_told_apart_by_their_time(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "lost-a", at=now)
    await lose(quiet_house, "lost-b", at=now + 60, of="b")
    theirs = happen(quiet_house, dict(PROMPT), now + 60)
    placed = await look_again(quiet_house)
    assert (placed["lost-b"], "lost-a" in placed) == (theirs, False)
    await look_again(quiet_house, after=10_000)
    assert await states(quiet_house) == []


async def test_a_record_that_is_too_old_is_taken_only_when_nothing_better_came(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "lost", at=now)
    old = happen(quiet_house, dict(PROMPT), now - recovery.LARGEST_SKEW + 5)
    assert "lost" not in await look_again(quiet_house)
    assert (await look_again(quiet_house, after=10_000))["lost"] == old


async def test_a_record_without_payload_is_taken_if_it_is_the_only_one(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "lost", at=now)
    blank = happen(quiet_house, {}, now)
    assert (await look_again(quiet_house))["lost"] == blank

    await lose(quiet_house, "again", at=now)
    for _ in range(2):
        happen(quiet_house, {}, now)
    assert "again" not in await look_again(quiet_house, after=10_000)
    assert await states(quiet_house) == [State.UNKNOWN]


async def test_a_record_without_payload_is_nobodys_while_two_creates_of_its_model_are_lost(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    for name in ("one", "two"):
        await lose(quiet_house, name, at=now)
    happen(quiet_house, {}, now)
    assert len(await look_again(quiet_house, after=10_000)) == 1
    assert await states(quiet_house) == [State.UNKNOWN] * 2


async def test_records_without_payload_are_dealt_out_by_their_time(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "ours", at=now - 40)
    await lose(quiet_house, "theirs", at=now - 10, of="b")
    made = {"ours": happen(quiet_house, {}, now - 40), "theirs": happen(quiet_house, {}, now - 10)}
    assert made.items() <= (await look_again(quiet_house)).items()


async def test_records_without_payload_are_dealt_out_among_a_teams_equal_creates(quiet_house: House) -> None:
    now = quiet_house.gw.now()
    for name in ("one", "two"):
        await lose(quiet_house, name, at=now)
    made = {happen(quiet_house, {}, now) for _ in range(2)}

    async def dealt_out() -> bool:
        found = await look_again(quiet_house)
        return {found.get("one"), found.get("two")} == made

    await quiet_house.eventually(dealt_out)


@pytest.mark.parametrize("apart", [0.0, 40.0])
async def test_az7_records_without_payload_are_not_dealt_out_among_two_teams_or_by_other_times(
    quiet_house: House, apart: float
) -> None:
    now = quiet_house.gw.now()
    await lose(quiet_house, "ours", at=now - apart)
    await lose(quiet_house, "theirs", at=now, of="b")
    for _ in range(2):
        happen(quiet_house, {}, now)
    assert len(await look_again(quiet_house, after=10_000)) == 1
    assert await states(quiet_house) == [State.UNKNOWN] * 2


async def test_a_record_nested_deeply_keeps_no_lost_create_from_being_found(quiet_house: House) -> None:
    house, now = quiet_house, quiet_house.gw.now()
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    await lose(house, "lost", at=now)
    made = happen(house, dict(PROMPT), now)
    happen(house, {"prompt": deep}, now)
    assert (await look_again(house))["lost"] == made


async def test_a_look_up_that_fails_keeps_no_other_create_from_being_looked_up(
    quiet_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, now = quiet_house, quiet_house.gw.now()
    search = recovery._search

    async def faulty(gw: Gateway, lost: OpenReservation) -> recovery.Search:
        if lost.id == "faulty":
            raise RuntimeError("unforeseen")
        return await search(gw, lost)

    monkeypatch.setattr(recovery, "_search", faulty)
    await lose(house, "faulty", at=now - 100, of="b")
    await lose(house, "lost", at=now)
    made = happen(house, {**PROMPT}, now)
    with pytest.raises(RuntimeError):
        await look_again(house)
    assert jobs_of(house)["lost"] == made
