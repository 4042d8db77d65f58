"""Calendar months as commands take them, and what every team did in each, in the team's own time zone."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.cli.invocation import CannotRunError, Invocation, check_known
from gateway.cli.options import saying_why
from gateway.core.policy import Period, PolicySet
from gateway.core.windows import window_at
from gateway.ledger.reader import LedgerReader
from gateway.ledger.values import UsageRow

MOST_MONTHS = 120
"""Ten years at once: a year that was typed wrong is told, not worked through."""

_REMOVED_TEAMS_ZONE = "UTC"
"""A team that is in no policy any more has no time zone left."""


@dataclass(frozen=True, slots=True)
class Month:
    """One month, such as `2026-11`, and an instant that lies in it."""

    label: str
    instant: float


def add_months(parser: ArgumentParser) -> None:
    """One month, or a span of them."""
    month = saying_why(parse_month)
    parser.add_argument("--month", type=month, metavar="YYYY-MM", help="default this month")
    parser.add_argument("--from", dest="first", type=month, metavar="YYYY-MM", help="instead: from this month on")
    parser.add_argument("--to", dest="last", type=month, metavar="YYYY-MM", help="up to this month; default this one")


def parse_month(text: str) -> Month:
    """The month, with an instant in its middle: in that month in every time zone."""
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text) or text < "1970":
        raise ValueError("must be a month such as 2026-11")
    return Month(text, datetime.fromisoformat(f"{text}-15").replace(tzinfo=UTC).timestamp())


def months_asked(call: Invocation) -> tuple[Month, ...]:
    """The months the options name, in order. Raises CannotRunError where they name none, or too many."""
    single, first, last = call.options.month, call.options.first, call.options.last
    if first is None and last is None:
        return (single if single is not None else _month_of(call.now),)
    if single is not None:
        raise CannotRunError("give either --month, or --from and --to")
    if first is None:
        raise CannotRunError("--to needs --from, the month to begin with")
    ends = last if last is not None else _month_of(call.now)
    labels = _labels(first.label, ends.label)
    if not labels:
        raise CannotRunError(f"--from {first.label} is after --to {ends.label}")
    if len(labels) > MOST_MONTHS:
        raise CannotRunError(f"--from {first.label} to {ends.label} are {len(labels)} months; at most {MOST_MONTHS}")
    return tuple(parse_month(label) for label in labels)


def _month_of(now: float) -> Month:
    """The month of an instant: of each team its own, should it have begun in one time zone and not in another."""
    return Month(window_at(Period.MONTH, "UTC", now).label, now)


def _labels(first: str, last: str) -> list[str]:
    starts, ends = (int(label[:4]) * 12 + int(label[5:]) - 1 for label in (first, last))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(starts, ends + 1)]


def teams_asked(ledger: LedgerReader, policy: PolicySet, team: str | None) -> Sequence[str]:
    """The team asked for, else all that are in the policies or in the ledger. Raises CannotRunError for one in none."""
    known = {*policy.teams, *ledger.teams()}
    if team is None:
        return sorted(known)
    check_known("there is no team", team, known)
    return [team]


def monthly_usage(
    ledger: LedgerReader, policy: PolicySet, months: Sequence[Month], teams: Sequence[str]
) -> Iterator[tuple[Month, UsageRow]]:
    """Month by month, team by team, a row for each key and model. Never more than one team's month at a time.

    A month begins and ends in the team's own time zone, as its limits do; in UTC for a team in no policy any more.
    """
    for month in months:
        for name in teams:
            zone = policy.teams[name].timezone if name in policy.teams else _REMOVED_TEAMS_ZONE
            window = window_at(Period.MONTH, zone, month.instant)
            for row in ledger.usage(name, window.starts, window.ends):
                yield month, row
