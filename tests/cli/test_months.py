"""Which months a command is about, and whose months those are."""

import argparse

import pytest

from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.months import add_months, months_asked, parse_month
from gateway.core.policy import Period
from gateway.core.windows import window_at
from gateway.ledger.ledger import Ledger
from tests.command_line import NOW, Shell
from tests.ledger.samples import create, reservation


def asked(*arguments: str) -> list[str]:
    parser = argparse.ArgumentParser()
    add_months(parser)
    return [month.label for month in months_asked(Invocation(parser.parse_args(arguments), {}, NOW))]


def test_without_options_it_is_this_month() -> None:
    assert asked() == ["2026-11"]


def test_one_month_or_a_span_of_them_in_order() -> None:
    assert asked("--month", "2026-02") == ["2026-02"]
    assert asked("--from", "2025-11", "--to", "2026-02") == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert asked("--from", "2026-10") == ["2026-10", "2026-11"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--month", "2026-10", "--to", "2026-11"), "give either --month, or --from and --to"),
        (("--to", "2026-11"), "--to needs --from, the month to begin with"),
        (("--from", "2026-11", "--to", "2026-10"), "--from 2026-11 is after --to 2026-10"),
        (("--from", "1970-01"), "--from 1970-01 to 2026-11 are 683 months; at most 120"),
    ],
)
def test_a_span_that_is_none_says_why(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(CannotRunError) as refused:
        asked(*arguments)
    assert str(refused.value) == why


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_the_middle_of_a_month_is_in_it_in_every_time_zone(zone: str) -> None:
    assert window_at(Period.MONTH, zone, parse_month("2026-02").instant).label == "2026-02"


async def test_a_month_is_the_teams_own_and_utc_where_no_policy_knows_the_team(shell: Shell) -> None:
    """23:30 UTC on the last of October is November in Berlin, where `films` is, and October for a team that is gone."""
    ledger = Ledger(shell.environment["GATEWAY_LEDGER"])
    await ledger.open()
    late = window_at(Period.MONTH, "UTC", NOW).starts - 1800
    for team in ("films", "gone"):
        await create(ledger, reservation(team, team=team, price=1_000_000, at=late))
    await ledger.close()
    shown = await shell.run_beside("ledger", "export", "--from", "2026-10", "--to", "2026-11")
    assert [line.split(",")[:2] for line in shown.out.splitlines()[1:]] == [["2026-10", "gone"], ["2026-11", "films"]]
