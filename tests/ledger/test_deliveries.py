"""What is to be told: written with the reservation, due with the end of the job, and each by one gateway."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy.event import listen

from gateway.core.addresses import Target
from gateway.core.lifecycle import Outcome
from gateway.core.webhooks import LONGEST_WAIT, Standing
from gateway.ledger.deliveries import CLOCKS_APART
from gateway.ledger.delivery_values import Attempt, Backlog, DeliveryState, DueDelivery, Notice, Wanted
from gateway.ledger.ledger import Ledger
from gateway.ledger.reader import read_ledger
from gateway.ledger.retention import BITE, RECORDS
from gateway.ledger.values import NewReservation, Sighting
from tests.ledger.samples import DAY, NOW, create, placement, reservation, reserve, run_sql, send, slot

TARGET = Target("hooks.example.com", "/in")
LEASE = 60.0


def told(name: str, team: str = "red") -> NewReservation:
    """A create whose end is to be told."""
    return replace(reservation(name, slot(), team=team), webhook=TARGET)


async def rows(ledger: Ledger) -> list[DeliveryState]:
    return (await ledger.outbox.page(Wanted()))[0]


async def row(ledger: Ledger) -> DeliveryState:
    (found,) = await rows(ledger)
    return found


async def due_at(ledger: Ledger, now: float) -> list[DueDelivery]:
    return await ledger.outbox.due(now, [], [], [], 10)


async def test_a_delivery_waits_for_the_end_of_its_job(ledger: Ledger) -> None:
    request_id = await create(ledger, told("a"))
    await create(ledger, reservation("b"))
    waiting = await row(ledger)
    assert (waiting.standing, waiting.request_id, waiting.host) == (Standing.WAITING, request_id, TARGET.host)
    assert await due_at(ledger, NOW + DAY) == []
    record = b'{"status":"success"}'
    await ledger.settle(Sighting(request_id, "success", record), Outcome.SUCCESS, NOW + 5)
    assert await due_at(ledger, NOW + 4) == []
    (due,) = await due_at(ledger, NOW + 5)
    (delivery,) = await ledger.outbox.claim([due], NOW + 5, NOW + LEASE)
    assert (delivery.id, delivery.team, delivery.target) == (due.id, "red", TARGET)
    assert (delivery.attempts, delivery.due_at) == (1, NOW + 5)
    assert delivery.body == b'{"type":"request.success","timestamp":"2027-01-15T08:00:05Z","data":%s}' % record


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_every_end_is_told_also_one_within_the_create(ledger: Ledger, outcome: Outcome) -> None:
    await create(ledger, told("a"), outcome)
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    assert json.loads(delivery.body)["type"] == f"request.{outcome}"


async def test_an_end_that_is_seen_again_changes_nothing(ledger: Ledger) -> None:
    request_id = await create(ledger, told("a"), Outcome.SUCCESS)
    before = await row(ledger)
    await ledger.settle(Sighting(request_id, "failed", b"{}"), Outcome.FAILED, NOW + 9)
    assert await row(ledger) == before


async def test_what_is_released_is_told_to_nobody(ledger: Ledger) -> None:
    await reserve(ledger, told("unsent"))
    await ledger.release("unsent", NOW, None)
    await send(ledger, told("sent"))
    await ledger.doubt("sent", NOW)
    assert len(await rows(ledger)) == 1
    await ledger.release("sent", NOW, None)
    assert await rows(ledger) == []


async def test_a_job_that_upstream_keeps_of_a_refused_create_is_told_by_its_id(ledger: Ledger) -> None:
    await send(ledger, told("a"))
    await ledger.refuse("a", Sighting("kept", "failed", None), NOW, None)
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    event = json.loads(delivery.body)
    assert event["type"] == "request.failed"
    assert event["data"] == {"request_id": "kept", "model": "Veo3", "status": "failed"}


async def test_a_create_whose_commit_was_lost_is_written_once(ledger: Ledger) -> None:
    await reserve(ledger, told("a"))
    await ledger.mark_sent("a", NOW)
    for _ in range(2):
        await ledger.place(placement("a", "r1", Outcome.SUCCESS), NOW)
    assert len(await rows(ledger)) == 1


async def test_one_of_several_gateways_gets_a_delivery(ledger: Ledger, url: str) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    other = Ledger(url)
    await other.open()
    found = await due_at(ledger, NOW)
    claims = [each.outbox.claim(found, NOW, NOW + LEASE) for each in (ledger, other) * 5]
    claimed = await asyncio.gather(*claims)
    assert sorted(map(len, claimed)) == [0] * 9 + [1]
    assert await due_at(other, NOW + LEASE - 1) == []
    assert len(await due_at(other, NOW + LEASE)) == 1, "one that is gone loses its claim"
    await other.close()


async def test_an_attempt_that_took_too_long_says_nothing_any_more(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    (late,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    (second,) = await ledger.outbox.claim(await due_at(ledger, NOW + LEASE), NOW + LEASE, NOW + 2 * LEASE)
    failed = Attempt(Standing.FAILED, 500, "answered 500", None)
    assert not await ledger.outbox.conclude(late, failed, NOW + LEASE)
    assert await ledger.outbox.conclude(second, Attempt(Standing.DELIVERED, 204, None, None), NOW + LEASE + 1)
    assert not await ledger.outbox.conclude(second, failed, NOW + LEASE + 2)
    found = await row(ledger)
    assert (found.standing, found.status, found.problem, found.attempts) == (Standing.DELIVERED, 204, None, 2)
    assert found.ended_at == NOW + LEASE + 1


async def test_what_is_not_taken_is_due_again_when_it_is_said(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    await ledger.outbox.conclude(delivery, Attempt(Standing.DUE, None, "no answer in time", NOW + 5), NOW + 1)
    assert await due_at(ledger, NOW + 4) == []
    assert [each.attempts for each in await due_at(ledger, NOW + 5)] == [1]
    assert (await row(ledger)).ended_at is None


async def test_what_became_due_by_a_clock_that_was_set_back_is_brought_forward(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    await ledger.outbox.conclude(delivery, Attempt(Standing.DUE, 500, "answered 500", NOW + 5), NOW)
    assert await ledger.outbox.bring_forward(NOW - CLOCKS_APART) == 0, "no two clocks are quite the same"
    assert await ledger.outbox.bring_forward(NOW - 3600) == 1
    assert await ledger.outbox.bring_forward(NOW - 3600) == 0, "its next pause is a pause again"
    (again,) = await ledger.outbox.claim(await due_at(ledger, NOW - 3600), NOW - 3600, NOW - 3600 + LEASE)
    assert (again.id, again.attempts, again.due_at) == (delivery.id, 2, NOW - 3600)


async def test_what_waits_for_longer_than_any_does_is_brought_forward(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW + 9000), NOW + 9000, NOW + 9000 + LEASE)
    waits = Attempt(Standing.DUE, 500, "answered 500", NOW + 9000 + LONGEST_WAIT)
    await ledger.outbox.conclude(delivery, waits, NOW + 9000)
    assert await ledger.outbox.bring_forward(NOW + 9000) == 0
    assert await ledger.outbox.bring_forward(NOW + 8999) == 1
    assert len(await due_at(ledger, NOW + 8999)) == 1
    assert (await row(ledger)).due_at == NOW


async def test_what_is_over_or_has_not_happened_is_not_brought_forward(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    await create(ledger, told("b"))
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    assert await ledger.outbox.bring_forward(NOW - DAY) == 1
    assert await ledger.outbox.conclude(delivery, Attempt(Standing.DELIVERED, 204, None, None), NOW - DAY)
    assert await ledger.outbox.bring_forward(NOW - 2 * DAY) == 0


async def test_redelivery_begins_anew_but_not_before_the_end(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    await create(ledger, told("b"))
    by_standing = {each.standing: each.id for each in await rows(ledger)}
    (delivery,) = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    await ledger.outbox.conclude(delivery, Attempt(Standing.FAILED, 410, "answered 410", None), NOW)
    ids = [by_standing[Standing.DUE], by_standing[Standing.WAITING], "nobody's"]
    assert await ledger.outbox.redeliver(ids, NOW + DAY) == 1
    (again,) = await due_at(ledger, NOW + DAY)
    assert (again.id, again.attempts) == (delivery.id, 0)
    (delivery,) = await ledger.outbox.claim([again], NOW + DAY, NOW + DAY + LEASE)
    assert delivery.due_at == NOW + DAY


async def test_hosts_and_teams_that_are_full_are_passed_over(ledger: Ledger) -> None:
    for team in ("red", "blue"):
        await create(ledger, told(team, team), Outcome.SUCCESS)

    async def teams(hosts: Sequence[str], teams: Sequence[str], pairs: Sequence[tuple[str, str]]) -> set[str]:
        return {each.team for each in await ledger.outbox.due(NOW, hosts, teams, pairs, 10)}

    assert await teams([TARGET.host], [], []) == set()
    assert await teams(["other.example.com"], [], []) == {"red", "blue"}
    assert await teams([], ["red"], []) == {"blue"}
    assert await teams([], [], [("red", TARGET.host), ("blue", "other.example.com")]) == {"blue"}
    assert await teams([], [], [("red", TARGET.host), ("blue", TARGET.host)]) == set()


async def test_an_event_about_no_job_is_told_once_and_at_once(ledger: Ledger, url: str) -> None:
    other = Ledger(url)
    await other.open()
    notice = Notice("limit", "jobs/red//2027-01-15/jobs-day/80", "red", TARGET, b"{}")
    first = await asyncio.gather(*(each.outbox.notify(notice, NOW) for each in (ledger, other) * 5))
    assert sorted(first) == [False] * 9 + [True]
    assert await ledger.outbox.notify(replace(notice, event="another"), NOW)
    claimed = await ledger.outbox.claim(await due_at(ledger, NOW), NOW, NOW + LEASE)
    assert [each.body for each in claimed] == [b"{}", b"{}"]
    assert {(each.kind, each.request_id) for each in await rows(ledger)} == {("limit", None)}
    await other.close()


async def test_the_list_is_of_one_team_state_or_job(ledger: Ledger) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    await create(ledger, told("b", team="blue"))
    page = ledger.outbox.page
    assert [each.team for each in (await page(Wanted(team="blue")))[0]] == ["blue"]
    assert [each.team for each in (await page(Wanted(standing=Standing.DUE)))[0]] == ["red"]
    assert [each.team for each in (await page(Wanted(request_id="request-b")))[0]] == ["blue"]
    assert await page(Wanted(limit=1, offset=1)) == ((await rows(ledger))[1:], 2)
    assert await page(Wanted(team="green")) == ([], 0)


async def test_the_list_is_of_these_ids(ledger: Ledger) -> None:
    for name in "abc":
        await create(ledger, told(name), Outcome.SUCCESS)
    first, second, _ = await rows(ledger)
    page = ledger.outbox.page
    assert await page(Wanted(ids=(second.id, "nobody's", first.id))) == ([first, second], 2)
    assert await page(Wanted(ids=())) == ([], 0)


async def test_the_list_reads_no_records(ledger: Ledger, url: str) -> None:
    request_id = await create(ledger, told("a"), Outcome.SUCCESS)
    with read_ledger(url) as reader:
        sent: list[str] = []
        listen(reader.connection, "before_cursor_execute", lambda *facts: sent.append(facts[2]))
        (found,), _ = reader.deliveries(Wanted())
    assert found.request_id == request_id
    assert len(sent) == 2
    assert [each for each in sent if "record" in each or "body" in each] == []


async def test_what_ended_is_forgotten_after_a_month_bite_by_bite(ledger: Ledger, url: str) -> None:
    await create(ledger, told("a"), Outcome.SUCCESS)
    await create(ledger, told("b"))
    columns = "id, event, kind, team, host, path, standing, created_at, attempts, ended_at"
    values = ", ".join(f"('{n}', '{n}', 'job', 'red', 'h', '/', 'failed', {NOW}, 1, {NOW})" for n in range(BITE + 1))
    run_sql(url, f"INSERT INTO deliveries ({columns}) VALUES {values}")
    await ledger.purge(NOW + RECORDS)
    assert (await ledger.outbox.page(Wanted()))[1] == BITE + 3
    await ledger.purge(NOW + RECORDS + 1)
    assert {each.standing for each in await rows(ledger)} == {Standing.DUE, Standing.WAITING}


async def test_the_backlog_is_what_is_due_however_long_it_waits_for_its_next_attempt(ledger: Ledger) -> None:
    assert await ledger.outbox.backlog() == Backlog(0, None)
    await create(ledger, told("has not ended"))
    for number in range(3):
        await ledger.outbox.notify(Notice("limit", str(number), "red", TARGET, b"{}"), NOW + number)
    assert await ledger.outbox.backlog() == Backlog(3, NOW)
    first, second = await ledger.outbox.claim((await due_at(ledger, NOW + 5))[:2], NOW + 5, NOW + LEASE)
    by_age = sorted((first, second), key=lambda each: each.due_at)
    await ledger.outbox.conclude(by_age[0], Attempt(Standing.DELIVERED, 200, None, None), NOW + 6)
    await ledger.outbox.conclude(by_age[1], Attempt(Standing.DUE, None, "no answer in time", NOW + 99), NOW + 6)
    assert await ledger.outbox.backlog() == Backlog(2, NOW + 1)
