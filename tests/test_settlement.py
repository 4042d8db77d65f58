"""A job ends: its claims are settled once, whoever sees it first, and money comes back only on upstream's word."""

import asyncio
import json
from dataclasses import replace

import pytest
from msgspec import structs

from gateway import following, settlement
from gateway.core.lifecycle import Outcome, State
from gateway.core.policy import JOB_TIMEOUT
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.values import OwnedByAnother, Placement
from gateway.logs import logger
from gateway.looks import Failed
from tests.clocks import WallClock, wall_clock
from tests.conftest import REAL_ORG, Client, House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.ledger_troubles import file_of, held_by_another, no_writes
from tests.scripted_upstream import response

__all__ = ["wall_clock"]

LIMITS = "limits: [10 jobs per day, {limit: 3 jobs at once, models: ['*']}, 20 USD per month]\n"
HAILUO, LUMA = "minimax-hailuo-2.3-fast", "luma-ray-2"
FOLLOWED = 6.0
"""Seconds after which a job that nobody polls is looked at first, and one more."""


async def created(client: Client, model: str = "Veo3") -> str:
    answer = await client.create(model)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


async def books(house: House) -> tuple[int, int, int]:
    """Jobs counted, slots held, micro-USD charged or held; every counter is proven on the way."""
    assert await house.gw.ledger.verify() == []
    values = await house.gw.ledger.used(await house.counters())
    slots = sum(value for name, value in values.items() if "/at-once/" in name)
    jobs = sum(value for name, value in values.items() if name.startswith("jobs/")) - slots
    money = sum(value for name, value in values.items() if name.startswith("USD/"))
    return jobs, slots, money


async def told(house: House, text: str) -> str:
    """The value of the one metric whose line begins so."""
    lines = (await house.admin("/metrics")).text.splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.startswith(text)), "")


def all_over(house: House) -> bool:
    """Whether upstream has ended every job, by its own clock."""
    simulation = house.upstream.simulation
    return all(job.ends_at <= simulation.clock() for job in simulation.jobs.of(REAL_ORG))


async def until_ended(house: House, client: Client, request_id: str) -> str:
    """Poll as a client does, and give the last status."""
    status = ""

    async def over() -> bool:
        nonlocal status
        house.gw.jobs.forget(request_id)
        status = (await client.get(f"{Q}/requests/{request_id}")).json()["status"]
        return status in ("success", "failed", "cancelled")

    await house.eventually(over)
    return status


@pytest.mark.parametrize(("model", "price"), [(HAILUO, 190_000), (LUMA, 400_000)])
async def test_bu4_a_failed_job_gives_its_money_back_and_keeps_its_count(
    open_house: OpenHouse, model: str, price: int
) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=20)
    client = house.client("key")
    request_id = await created(client, model)
    assert await books(house) == (1, 1, price)
    assert await until_ended(house, client, request_id) == "failed"
    assert await books(house) == (1, 0, 0)


async def test_bu4_a_team_may_be_charged_for_failures(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS + "charge_failed: true\n")})
    client = house.client("key")
    assert await until_ended(house, client, await created(client, HAILUO)) == "failed"
    assert await books(house) == (1, 0, 190_000)


async def test_bu4_two_gateways_a_poller_and_the_follower_refund_once(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    files = {"a.yaml": team("a", "key", LIMITS)}
    house = await open_house(files)
    other = await open_house({}, upstream=house.upstream.url)
    await other.client("key").get(f"{Q}/models")  # what it has not heard of it counts as `other`
    request_ids = [await created(house.client("key"), HAILUO) for _ in range(3)]
    await house.eventually(lambda: all_over(house))

    wall_clock.advance(FOLLOWED)
    polls = [each.client("key").get(f"{Q}/requests/{one}") for each in (house, other) for one in request_ids * 5]
    rounds = [following.follow(each.gw) for each in (house, other) for _ in range(2)]
    answers, _ = await asyncio.gather(asyncio.gather(*polls), asyncio.gather(*rounds))

    assert {answer.json()["status"] for answer in answers} == {"failed"}
    assert await books(house) == (3, 0, 0)
    finished = 'gateway_jobs_finished_total{model="minimax-hailuo-2.3-fast",outcome="failed",team="a"}'
    counted = [float(await told(each, finished) or 0) for each in (house, other)]
    assert sum(counted) == 3


async def test_a_successful_job_keeps_its_money_and_frees_its_slot(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)})
    client = house.client("key")
    assert await until_ended(house, client, await created(client)) == "success"
    assert await books(house) == (1, 0, 3_200_000)
    assert await told(house, 'gateway_job_cost_usd_total{model="Veo3",team="a"}') == "3.2"


async def test_a_finished_record_in_the_creates_answer_settles_at_once(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)})
    answer = await house.client("key").create("seedream-5.0-lite")
    assert answer.json()["status"] == "success"
    assert (await books(house))[:2] == (1, 0)
    again = await house.client("key").get(f"{Q}/requests/{answer.json()['request_id']}")
    assert (again.content, again.headers["cache-status"]) == (answer.content, "gmi-gateway; hit")
    assert house.received("get_request") == 0


async def test_sm10_the_record_of_another_teams_job_is_not_taken_for_the_jobs(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        policies = {"a.yaml": team("a", "key", LIMITS), "b.yaml": team("b", "other", LIMITS)}
        house = await open_house(policies, upstream=upstream.url)
        foreign, own = await created(house.client("other")), await created(house.client("key"))
        path = f"{Q}/requests/{own}"
        upstream.answers["GET", path] = response((await house.client("other").get(f"{Q}/requests/{foreign}")).content)
        answer = await house.client("key").get(path)
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")
        del upstream.answers["GET", path]
        house.gw.jobs.forget(own)
        assert (await house.client("key").get(path)).json()["request_id"] == own


async def test_a_short_record_is_never_the_last_word(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        request_id = "6c8f1c44-9d1b-4f6e-8a77-1f0d6f3c2b11"
        short = {"request_id": request_id, "model": "Veo3", "status": "success", "created_at": 1, "updated_at": 1}
        full = short | {"payload": {}, "outcome": {"video_url": "https://storage.googleapis.com/v.mp4"}}
        upstream.answers["POST", f"{Q}/requests"] = response(json.dumps(short).encode())
        upstream.answers["GET", f"{Q}/requests/{request_id}"] = response(json.dumps(full).encode())
        client = house.client("key")
        assert (await client.create()).json() == short
        for _ in range(2):
            assert (await client.get(f"{Q}/requests/{request_id}")).json() == full
        assert len(upstream.calls("GET", f"{Q}/requests/{request_id}")) == 1


async def test_qu5_nobody_polls_and_the_slots_come_back(open_house: OpenHouse, wall_clock: WallClock) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)})
    client = house.client("key")
    for model in ("Veo3", HAILUO, "Veo3"):
        await created(client, model)
    full = await client.create()
    assert (full.status_code, full.json()["code"]) == (429, "concurrency_exceeded")
    await house.eventually(lambda: all_over(house))

    wall_clock.advance(FOLLOWED)

    async def free() -> bool:
        return (await books(house))[1] == 0

    await house.eventually(free)
    assert (await client.create()).status_code == 200
    assert await books(house) == (4, 1, 3 * 3_200_000)


async def test_a_job_that_clients_poll_is_not_asked_about_again(open_house: OpenHouse, wall_clock: WallClock) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client = house.client("key")
    polled, unpolled = await created(client), await created(client)
    await client.get(f"{Q}/requests/{polled}")

    wall_clock.advance(FOLLOWED)
    await following.follow(house.gw)

    assert house.received("get_request") == 2
    assert house.gw.jobs.seen(unpolled) is not None


async def test_a_job_that_clients_poll_is_put_off_for_longer(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.duties.SETTLE_EVERY", 3600.0)  # the rounds are the test's
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client = house.client("key")
    polled, unpolled = await created(client), await created(client)
    wall_clock.advance(60)
    await client.get(f"{Q}/requests/{polled}")
    await following.follow(house.gw)

    for seconds, due in ((7, [unpolled]), (18, [polled])):
        wall_clock.advance(seconds)
        assert [job.request_id for job in await house.gw.ledger.looks.take(house.gw.now(), 10)] == due


async def test_a_ledger_that_takes_no_word_of_a_look_does_not_keep_it_from_being_taken(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.duties.SETTLE_EVERY", 3600.0)  # the rounds are the test's
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    request_id = await created(house.client("key"))
    wall_clock.advance(FOLLOWED)

    async def unavailable(*_: object) -> None:
        raise LedgerUnavailable("lock timeout")

    monkeypatch.setattr(house.gw.ledger.looks, "begin", unavailable)
    await following.follow(house.gw)
    assert house.gw.jobs.seen(request_id) is not None


async def test_jobs_are_followed_to_their_end_after_a_restart(open_house: OpenHouse, wall_clock: WallClock) -> None:
    files = {"a.yaml": team("a", "key", LIMITS)}
    house = await open_house(files, speed=30)
    await created(house.client("key"), HAILUO)
    restarted = await open_house(files, upstream=house.upstream.url)
    await asyncio.sleep(1.1)
    wall_clock.advance(FOLLOWED)

    async def settled() -> bool:
        return await books(restarted) == (1, 0, 0)

    await restarted.eventually(settled)


async def test_a_job_without_end_is_closed_after_a_day_and_keeps_its_money(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)})
    client = house.client("key")
    request_id = await created(client, "vidu-q1")
    wall_clock.advance(JOB_TIMEOUT - 60)
    await following.follow(house.gw)
    assert await books(house) == (1, 1, 200_000)

    wall_clock.advance(120)
    await following.follow(house.gw)
    assert await books(house) == (1, 0, 200_000)
    job = await house.gw.ledger.job(request_id)
    assert job is not None
    assert job.outcome is Outcome.EXPIRED
    assert (await client.get(f"{Q}/requests/{request_id}")).json()["status"] in ("created", "queued")


@pytest.mark.parametrize("status", ["failed", "success"])
async def test_a_job_that_ended_unseen_is_settled_however_old_it_is(
    open_house: OpenHouse, wall_clock: WallClock, status: str
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        request_id = await created(house.client("key"))
        _, _, charged = await books(house)
        upstream.jobs[request_id]["status"] = status
        wall_clock.advance(JOB_TIMEOUT + 60)
        await following.follow(house.gw)
        assert await books(house) == (1, 0, charged if status == "success" else 0)


async def test_what_comes_of_a_job_after_it_was_closed_is_shown_and_changes_nothing_else(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        client = house.client("key")
        request_id = await created(client)
        _, _, charged = await books(house)
        wall_clock.advance(JOB_TIMEOUT + 60)
        await following.follow(house.gw)
        upstream.jobs[request_id]["status"] = "failed"
        house.gw.jobs.forget(request_id)
        assert (await client.get(f"{Q}/requests/{request_id}")).json()["status"] == "failed"
        (listed,) = (await client.get(f"{Q}/requests")).json()["requests"]
        assert listed["status"] == "failed"
        assert await books(house) == (1, 0, charged)
        job = await house.gw.ledger.job(request_id)
        assert job is not None
        assert job.outcome is Outcome.EXPIRED


async def test_a_look_that_upstream_does_not_answer_holds_up_no_other(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.05)
    monkeypatch.setattr("gateway.rounds.AT_ONCE", 2)
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        *hung, other = [await created(house.client("key")) for _ in range(3)]
        upstream.hung |= {f"{Q}/requests/{each}" for each in hung}
        for count in (1, 2):
            upstream.jobs[other]["status"] = "success" if count == 2 else "processing"
            house.gw.jobs.forget(other)
            wall_clock.advance(FOLLOWED)
            await asyncio.wait_for(following.follow(house.gw), 5)
            assert len(upstream.calls("GET", f"{Q}/requests/{other}")) == count
        assert [len(upstream.calls("GET", f"{Q}/requests/{each}")) for each in hung] == [1, 1]
        assert (await books(house))[:2] == (3, 2)


async def test_a_team_says_how_long_its_jobs_may_go_on(open_house: OpenHouse, wall_clock: WallClock) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS) + "job_timeout: 90 s\n"})
    request_id = await created(house.client("key"), "vidu-q1")
    wall_clock.advance(60)
    await following.follow(house.gw)
    assert await books(house) == (1, 1, 200_000)

    wall_clock.advance(60)
    await following.follow(house.gw)
    assert await books(house) == (1, 0, 200_000)
    job = await house.gw.ledger.job(request_id)
    assert job is not None
    assert job.outcome is Outcome.EXPIRED


async def test_up11_a_job_upstream_denies_twice_frees_its_slot_and_keeps_its_money(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client = house.client("key")
    request_id = await created(client)
    house.upstream.simulation.jobs._jobs.clear()

    held = []
    for seconds in (0, settlement.MISSING_AT_FIRST - 5, 5, 1, 9, 1):
        wall_clock.advance(seconds)
        house.gw.jobs.forget(request_id)
        answer = await client.get(f"{Q}/requests/{request_id}")
        assert (answer.status_code, answer.content) == (404, b'{"error":"request not found"}')
        held.append((await books(house))[1])
    assert held == [1, 1, 1, 1, 0, 0]
    assert await books(house) == (1, 0, 3_200_000)


async def test_up11_whoever_polls_a_job_that_upstream_does_not_show_asks_it_once_a_second(
    open_house: OpenHouse,
) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client = house.client("key")
    request_id = await created(client)
    jobs = house.upstream.simulation.jobs._jobs
    hidden = jobs.pop(request_id)
    answers = [await client.get(f"{Q}/requests/{request_id}") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {404}
    assert house.received("get_request") <= 2
    jobs[request_id] = hidden

    async def shown() -> bool:
        return bool((await client.get(f"{Q}/requests/{request_id}")).is_success)

    await house.eventually(shown)
    assert await books(house) == (1, 1, 3_200_000)


async def test_up11_one_denial_among_good_answers_changes_nothing(open_house: OpenHouse, wall_clock: WallClock) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client = house.client("key")
    request_id = await created(client)
    jobs = house.upstream.simulation.jobs._jobs
    for _ in range(3):
        wall_clock.advance(settlement.MISSING_AT_FIRST)
        hidden = jobs.pop(request_id)
        assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 404
        jobs[request_id] = hidden
        house.gw.jobs.forget(request_id)
        assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
        house.gw.jobs.forget(request_id)
    assert await books(house) == (1, 1, 3_200_000)


async def test_bu5_a_new_price_changes_no_job_that_runs(open_house: OpenHouse) -> None:
    def prices(usd: int) -> str:
        return f"prices: [{{models: [Veo3, {HAILUO}], usd: {usd}, per: job}}]"

    house = await open_house({"a.yaml": team("a", "key", LIMITS), "p.yaml": prices(3)}, speed=60)
    client = house.client("key")
    kept, refunded = await created(client), await created(client, HAILUO)
    (house.policies / "p.yaml").write_text(prices(5))
    assert (await house.http.post(f"{house.running.admin_url}/reload")).status_code == 200
    assert await books(house) == (2, 2, 6_000_000)

    assert await until_ended(house, client, refunded) == "failed"
    assert await until_ended(house, client, kept) == "success"
    assert await books(house) == (2, 0, 3_000_000)
    await created(client)
    assert await books(house) == (3, 1, 8_000_000)


async def test_a_job_the_ledger_could_not_settle_is_settled_later(open_house: OpenHouse, wall_clock: WallClock) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)})
    client = house.client("key")
    request_id = await created(client, HAILUO)
    async with no_writes(house):
        assert await until_ended(house, client, request_id) == "failed"
        assert await books(house) == (1, 1, 190_000)
        assert float(await told(house, "gateway_settlement_errors_total")) >= 1

    wall_clock.advance(FOLLOWED)

    async def settled() -> bool:
        return await books(house) == (1, 0, 0)

    await house.eventually(settled)


async def test_a_record_the_ledger_did_not_take_is_written_by_a_later_look(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture
) -> None:
    logger.addHandler(caplog.handler)
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        client = house.client("key")
        request_id = await created(client)
        upstream.jobs[request_id]["status"] = "processing"

        async def polled_and_listed() -> list[str]:
            seen = house.gw.jobs.seen(request_id)
            if seen is not None:
                house.gw.jobs.of(request_id).seen = structs.replace(seen, asked_at=seen.asked_at - 1)
            polled = (await client.get(f"{Q}/requests/{request_id}")).json()["status"]
            return [polled, (await client.get(f"{Q}/requests")).json()["requests"][0]["status"]]

        async with no_writes(house):
            assert [await polled_and_listed() for _ in range(2)] == [["processing", "queued"]] * 2
        assert [record.getMessage() for record in caplog.records].count("record not kept") == 1

        async def well() -> bool:
            return bool(house.gw.ledger.healthy)

        await house.eventually(well)
        house.gw.jobs.remember_error(request_id, Failed(0.0))
        assert await polled_and_listed() == ["processing", "processing"]
    logger.removeHandler(caplog.handler)


async def test_le2_polls_do_not_wait_for_a_ledger_that_is_locked(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        client = house.client("key")
        request_id = await created(client)
        with held_by_another(file_of(house)):
            for status in ("processing", "processing", "running", "running"):
                upstream.jobs[request_id]["status"] = status
                house.gw.jobs.outdate(request_id, house.gw.ticks())
                async with asyncio.timeout(1):
                    answer = await client.get(f"{Q}/requests/{request_id}")
                assert (answer.status_code, answer.json()["status"]) == (200, status)


async def test_a_job_that_ended_after_it_was_closed_is_told_without_upstream(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        client = house.client("key")
        request_id = await created(client)
        wall_clock.advance(JOB_TIMEOUT + 1)
        await following.follow(house.gw)
        house.gw.jobs.forget(request_id)
        path = f"{Q}/requests/{request_id}"
        upstream.answers["GET", path] = response(b"{}", "503 Service Unavailable")
        assert (await client.get(path)).status_code == 503
        del upstream.answers["GET", path]
        upstream.jobs[request_id]["status"] = "success"
        house.gw.jobs.forget(request_id)
        assert (await client.get(path)).json()["status"] == "success"
        upstream.answers["GET", path] = response(b"{}", "503 Service Unavailable")
        house.gw.jobs.forget(request_id)
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, "success")


async def test_a_cancelled_job_gives_its_money_back(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client = house.client("key")
    request_id = await created(client)
    await client.call("DELETE", f"{Q}/requests/{request_id}")

    async def settled() -> bool:
        return await books(house) == (1, 0, 0)

    await house.eventually(settled)


async def test_bu4_a_job_is_told_and_counted_when_the_ledger_has_taken_it(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key", LIMITS)}, speed=1)
    client, away = house.client("key"), asyncio.Event()
    place = Ledger.place

    async def when_back(ledger: Ledger, placement: Placement, now: float) -> OwnedByAnother | None:
        if not away.is_set():
            raise LedgerUnavailable("away")
        return await place(ledger, placement, now)

    monkeypatch.setattr(Ledger, "place", when_back)
    request_id = await created(client)
    poll = await client.get(f"{Q}/requests/{request_id}")
    assert (poll.status_code, poll.json()["code"]) == (503, "ledger_unavailable")
    assert await told(house, "gateway_jobs_created_total") == ""

    away.set()

    async def is_placed() -> bool:
        return await told(house, "gateway_jobs_created_total") == "1.0"

    await house.eventually(is_placed)
    assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
    assert await books(house) == (1, 1, 3_200_000)


async def test_az3_an_id_of_anothers_job_is_not_told_of_when_the_ledger_says_so_late(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a.yaml": team("a", "key", LIMITS), "b.yaml": team("b", "key-b", LIMITS)}
    house = await open_house(files, speed=1)
    theirs = await created(house.client("key-b"))
    place, tries = Ledger.place, iter((False, True))

    async def once_away(ledger: Ledger, placement: Placement, now: float) -> OwnedByAnother | None:
        if not next(tries):
            raise LedgerUnavailable("away")
        return await place(ledger, replace(placement, request_id=theirs), now)

    monkeypatch.setattr(Ledger, "place", once_away)
    mine = await created(house.client("key"))

    async def is_in_doubt() -> bool:
        return any(each.state is State.UNKNOWN for each in await house.gw.ledger.jobless.all())

    await house.eventually(is_in_doubt)
    assert (await house.client("key").get(f"{Q}/requests/{theirs}")).status_code == 404
    assert house.gw.jobs.owner(mine, house.gw.ticks()) is None
    assert await told(house, 'gateway_jobs_created_total{model="Veo3",team="a"}') == ""
