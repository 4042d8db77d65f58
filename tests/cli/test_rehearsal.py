"""The same claims as the ledger's, on counters in memory."""

import dataclasses

import pytest

from gateway.cli.access_log import Asked, Ended
from gateway.cli.rehearsal import Price, Rehearsal, price_for
from gateway.core.errors import Code, Refusal
from gateway.core.lifecycle import Outcome
from gateway.core.policy import Key, Limit, Mode, Per, Period, PolicySet, Team, Unit
from gateway.core.policy import Price as PolicyPrice
from tests.core.worlds import NOON, limit

FILM = Asked(NOON, NOON, "a", "web", True, 200, "Veo3", "", 3_200_000, 8, "job-1", False)
DEAR = Price(5_000_000, is_new=True)


def rehearsal(*limits: Limit, charge_failed: bool = False) -> Rehearsal:
    team = Team("a", keys=(Key("web", "0" * 64),), allow=("*",), limits=limits, charge_failed=charge_failed)
    return Rehearsal(PolicySet({"a": team}, {}))


def job(number: int) -> Asked:
    return dataclasses.replace(FILM, job=f"job-{number}")


def code(refusal: Refusal | None) -> Code | None:
    return None if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("outcome", "charge_failed", "expected"),
    [
        (Outcome.FAILED, False, None),
        (Outcome.CANCELLED, True, Code.BUDGET_EXCEEDED),
        (Outcome.SUCCESS, False, Code.BUDGET_EXCEEDED),
        (Outcome.EXPIRED, False, Code.BUDGET_EXCEEDED),
    ],
)
def test_money_comes_back_as_the_new_policies_say(
    outcome: Outcome, *, charge_failed: bool, expected: Code | None
) -> None:
    replayed = rehearsal(limit(5_000_000, Unit.USD, Period.MONTH), charge_failed=charge_failed)
    assert replayed.create(job(1), DEAR) is None
    replayed.end(Ended(NOON, "job-1", outcome))
    assert code(replayed.create(job(2), DEAR)) == expected


def test_an_end_that_was_written_down_first_counts_all_the_same() -> None:
    replayed = rehearsal(limit(1, Unit.JOBS, Period.AT_ONCE))
    replayed.end(Ended(NOON, "job-1", Outcome.SUCCESS))
    assert replayed.create(job(1), DEAR) is None
    assert replayed.create(job(2), DEAR) is None
    assert code(replayed.create(job(3), DEAR)) is Code.CONCURRENCY_EXCEEDED


def test_only_so_many_ends_of_unknown_jobs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.rehearsal._MOST_EARLY", 1)
    replayed = rehearsal(limit(1, Unit.JOBS, Period.AT_ONCE))
    for number in (1, 2):
        replayed.end(Ended(NOON, f"job-{number}", Outcome.SUCCESS))
    assert [code(replayed.create(job(number), DEAR)) for number in (2, 1, 3)] == [None, None, Code.CONCURRENCY_EXCEEDED]


def test_a_refused_create_takes_nothing_and_a_shadow_limit_refuses_nothing() -> None:
    shadow = dataclasses.replace(limit(1, Unit.JOBS, Period.HOUR), mode=Mode.SHADOW)
    replayed = rehearsal(limit(2, Unit.JOBS, Period.DAY), limit(5_000_000, Unit.USD, Period.MONTH), shadow)
    prices = (DEAR, DEAR, Price(0, is_new=True))
    codes = [code(replayed.create(job(number), price)) for number, price in enumerate(prices)]
    assert codes == [None, Code.BUDGET_EXCEEDED, None]
    assert code(replayed.create(job(4), Price(0, is_new=True))) is Code.QUOTA_EXCEEDED


def test_every_call_counts_on_the_request_rate_until_it_is_used_up() -> None:
    replayed = rehearsal(limit(1, Unit.REQUESTS, Period.MINUTE))
    assert [code(replayed.count(FILM)) for _ in range(2)] == [None, Code.RATE_LIMITED]
    assert replayed.count(dataclasses.replace(FILM, instant=NOON + 60)) is None
    assert code(replayed.count(dataclasses.replace(FILM, key="other"))) is Code.KEY_INVALID


@pytest.mark.parametrize(
    ("price", "seconds", "expected"),
    [
        (PolicyPrice(("Veo*",), 400_001, Per.SECOND), 8, Price(3_200_008, is_new=True)),
        (PolicyPrice(("Veo*",), 400_001, Per.SECOND), 0, Price(3_200_000, is_new=False)),
        (PolicyPrice(("Veo*",), 7, Per.JOB), 8, Price(7, is_new=True)),
        (PolicyPrice(("Veo*",), 7, Per.IMAGE), 8, Price(3_200_000, is_new=False)),
        (PolicyPrice(("Veo*",), 7, Per.JOB, when={"a": 1}), 8, Price(3_200_000, is_new=False)),
        (PolicyPrice(("Kling*",), 7, Per.JOB), 8, Price(3_200_000, is_new=False)),
    ],
)
def test_a_price_is_new_where_model_and_seconds_decide_it(price: PolicyPrice, seconds: int, expected: Price) -> None:
    assert price_for(PolicySet({}, {}, (price,)), dataclasses.replace(FILM, seconds=seconds)) == expected
