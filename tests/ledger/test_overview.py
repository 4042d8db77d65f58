"""What people look at, on either database."""

import pytest

from gateway.core.addresses import Target
from gateway.core.lifecycle import Outcome
from gateway.core.webhooks import Standing
from gateway.ledger.delivery_values import Attempt, Notice
from gateway.ledger.ledger import Ledger
from gateway.ledger.overview import (
    RefusedCount,
    Spent,
    Trouble,
    Wanted,
    WebhookHealth,
    last_creates,
    refused_counts,
    shown_jobs,
    spent_by_window,
    webhook_health,
)
from gateway.ledger.values import Refused
from tests.ledger.samples import DAY, NOW, create, reservation, send


async def fill(ledger: Ledger) -> None:
    """Four jobs of red, the third failed, the fourth alive; one of blue; and one create that was released."""
    await create(ledger, reservation("1", price=100), Outcome.SUCCESS)
    await create(ledger, reservation("2", price=20, model="Kling", at=NOW + 1), Outcome.SUCCESS)
    await create(ledger, reservation("3", price=3, at=NOW + 2), Outcome.FAILED)
    await create(ledger, reservation("4", price=4000, at=NOW + DAY), None)
    await create(ledger, reservation("5", price=50_000, team="blue", at=NOW + DAY), Outcome.SUCCESS)
    await send(ledger, reservation("6", price=600_000, at=NOW + DAY))
    await ledger.release("6", NOW + DAY, None)


@pytest.mark.parametrize(
    ("wanted", "found", "total"),
    [
        (Wanted(), "5 4 3 2 1", 5),
        (Wanted(team="red"), "4 3 2 1", 4),
        (Wanted(team="red", ended=False), "4", 1),
        (Wanted(team="red", ended=True), "3 2 1", 3),
        (Wanted(model="Kling"), "2", 1),
        (Wanted(status="failed"), "3", 1),
        (Wanted(limit=2, offset=1), "4 3", 5),
        (Wanted(team="green"), "", 0),
    ],
    ids=repr,
)
async def test_jobs_are_shown_newest_first(ledger: Ledger, wanted: Wanted, found: str, total: int) -> None:
    await fill(ledger)
    jobs, count = await ledger.survey(shown_jobs, wanted)
    assert " ".join(job.request_id.removeprefix("request-") for job in jobs) == found
    assert count == total


async def test_jobs_far_behind_the_page_are_not_counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.overview.COUNTED", 1)
    await fill(ledger)
    totals = [(await ledger.survey(shown_jobs, Wanted(limit=1, offset=offset)))[1] for offset in range(5)]
    assert totals == [2, 3, 4, 5, 5]


async def test_a_job_is_shown_with_whose_it_is_and_how_it_ended(ledger: Ledger) -> None:
    await fill(ledger)
    (failed,), _ = await ledger.survey(shown_jobs, Wanted(status="failed"))
    assert (failed.team, failed.key, failed.model, failed.price) == ("red", "web", "Veo3", 3)
    assert (failed.created_at, failed.settled_at, failed.outcome) == (NOW + 2, NOW + 2, Outcome.FAILED)
    assert failed.is_given_back
    (alive,), _ = await ledger.survey(shown_jobs, Wanted(ended=False))
    assert (alive.settled_at, alive.outcome, alive.status, alive.is_given_back) == (None, None, "queued", False)


async def test_money_is_told_by_window_and_model(ledger: Ledger) -> None:
    await fill(ledger)
    edges = [NOW - DAY, NOW, NOW + DAY, NOW + 2 * DAY]
    spent = await ledger.survey(spent_by_window, "red", edges)
    assert sorted(spent, key=lambda each: (each.window, each.model)) == [
        Spent(1, "Kling", 1, 20),
        Spent(1, "Veo3", 2, 100),  # what failed costs nothing
        Spent(2, "Veo3", 1, 4000),  # held
    ]
    everybody = await ledger.survey(spent_by_window, None, edges)
    assert sum(each.amount for each in everybody) == 54_120
    assert await ledger.survey(spent_by_window, "red", [NOW + 5, NOW + 6]) == []


async def test_refused_calls_are_told_by_code_and_quarter(ledger: Ledger) -> None:
    quarter = NOW - NOW % 900
    await ledger.add_refusals(
        {
            Refused("red", "web", "Veo3", "rate_limited", quarter): 2,
            Refused("red", "batch", "other", "rate_limited", quarter): 3,
            Refused("red", "web", "Veo3", "rate_limited", quarter - 900): 7,
            Refused("blue", "web", "Veo3", "budget_exceeded", quarter): 1,
        }
    )
    assert await ledger.survey(refused_counts, "red", quarter) == [RefusedCount("red", "rate_limited", quarter, 5)]
    everything = await ledger.survey(refused_counts, None, quarter - 900)
    assert sum(each.count for each in everything) == 13


async def test_a_keys_last_create_is_known_for_as_long_as_is_asked(ledger: Ledger) -> None:
    await fill(ledger)
    assert await ledger.survey(last_creates, "red", NOW) == {"web": NOW + DAY}
    assert await ledger.survey(last_creates, "red", NOW + 2 * DAY) == {}


async def try_next(ledger: Ledger, attempt: Attempt, now: float) -> None:
    """One attempt at what has been due longest."""
    (due, *_) = await ledger.outbox.due(now, [], [], [], 1)
    (delivery,) = await ledger.outbox.claim([due], now, now + 60)
    await ledger.outbox.conclude(delivery, attempt, now)


async def test_webhooks_that_are_late_or_lost_are_told_with_the_problem_that_matters_most(ledger: Ledger) -> None:
    assert await ledger.survey(webhook_health, NOW) == WebhookHealth(0, None, 0, None)
    for number, (team, host) in enumerate((("red", "a.example.com"), ("blue", "b.example.com"), ("red", "c.example"))):
        await ledger.outbox.notify(Notice("limit", str(number), team, Target(host, "/"), b"{}"), NOW + number)
    assert await ledger.survey(webhook_health, NOW) == WebhookHealth(3, NOW, 0, None)
    await try_next(ledger, Attempt(Standing.FAILED, 410, "answered 410", None), NOW + 5)
    gone = Trouble("red", "a.example.com", "answered 410")
    assert await ledger.survey(webhook_health, NOW) == WebhookHealth(2, NOW + 1, 1, gone)
    assert await ledger.survey(webhook_health, NOW + 6) == WebhookHealth(2, NOW + 1, 0, None)
    await try_next(ledger, Attempt(Standing.DUE, None, "no answer in time", NOW + 600), NOW + 5)
    late = Trouble("blue", "b.example.com", "no answer in time")
    assert await ledger.survey(webhook_health, NOW) == WebhookHealth(2, NOW + 1, 1, late)
