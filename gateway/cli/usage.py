"""Jobs, money and refused calls of a month, by team, key and model.

A month begins and ends in each team's own time zone, as its limits do. Jobs that upstream refused are not counted; the
money of jobs that still run is held, and comes back if they fail. Unsuccessful are the jobs that failed, were cancelled
or were never seen to end. Refused are the calls the gateway answered with an error of its own; the model is `other` for
those that were about none, or about none the team may use. A gateway writes them down every two seconds.
"""

import csv
import dataclasses
import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from gateway.cli.invocation import CannotRunError, Invocation, check_known
from gateway.cli.options import add_settings, saying_why
from gateway.cli.tables import render_table
from gateway.core.money import format_usd, usd_number
from gateway.core.policy import Period, PolicySet
from gateway.core.windows import window_at
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.reader import LedgerReader, read_ledger
from gateway.ledger.values import UsageRow

HEADER = ("TEAM", "KEY", "MODEL", "JOBS", "SUCCESS", "UNSUCCESSFUL", "OPEN", "REFUSED", "USD", "USD HELD")


def add_options(parser: ArgumentParser) -> None:
    """Whose usage, when, and how it is shown."""
    parser.add_argument("--team", help="this team alone")
    parser.add_argument("--month", type=saying_why(_parse_month), metavar="YYYY-MM", help="default this month")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    add_settings(parser, "policies", "ledger")


def run(call: Invocation) -> int:
    """Print it."""
    options, policy = call.options, call.load_policies()
    instant = call.now if options.month is None else options.month
    try:
        with read_ledger(call.settings.ledger) as ledger:
            rows = _rows(ledger, policy, instant)
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None
    if options.team is not None:
        known = {row.team for row in rows} | policy.teams.keys()
        check_known("there is no team", options.team, known)
        rows = [row for row in rows if row.team == options.team]
    if options.format == "json":
        month = window_at(Period.MONTH, "UTC", instant).label
        print(json.dumps({"month": month, "rows": list(map(_values, rows)), "total": _values(_total(rows))}, indent=2))
    elif options.format == "csv":
        table = csv.DictWriter(sys.stdout, ["team", "key", "model", *_values(_NOTHING)], lineterminator="\n")
        table.writeheader()
        table.writerows(map(_values, rows))
    else:
        print(render_table(HEADER, [_cells(row) for row in (*rows, _total(rows))], right=frozenset(range(3, 10))))
    return 0


def _parse_month(text: str) -> float:
    """An instant in the middle of `2026-11`: in that month in every time zone."""
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        raise ValueError("must be a month such as 2026-11")
    return datetime.fromisoformat(f"{text}-15").replace(tzinfo=UTC).timestamp()


def _rows(ledger: LedgerReader, policy: PolicySet, instant: float) -> list[UsageRow]:
    """Everybody's rows; teams that are in no policy any more count their month in UTC."""
    month = window_at(Period.MONTH, "UTC", instant)
    rows = [row for row in ledger.usage(None, month.starts, month.ends) if row.team not in policy.teams]
    for team in policy.teams.values():
        month = window_at(Period.MONTH, team.timezone, instant)
        rows += ledger.usage(team.name, month.starts, month.ends)
    return sorted(rows, key=lambda row: (row.team, row.key, row.model))


def _total(rows: Iterable[UsageRow]) -> UsageRow:
    """The sum of every number, as a row of nobody's."""
    numbers = [dataclasses.astuple(row)[3:] for row in rows]
    return UsageRow("", "", "", *(sum(column) for column in zip(*numbers, strict=True))) if numbers else _NOTHING


_NOTHING = UsageRow("", "", "", jobs=0, succeeded=0, failed=0, open=0, charged=0, held=0, refused=0)


def _values(row: UsageRow) -> Mapping[str, str | float | None]:
    """The row for programs: money in USD; the total has neither team, key nor model."""
    names = {"team": row.team, "key": row.key, "model": row.model} if row.team else {}
    return {
        **names,
        "jobs": row.jobs,
        "succeeded": row.succeeded,
        "unsuccessful": row.failed,
        "open": row.open,
        "refused": row.refused,
        "usd": usd_number(row.spent),
        "held_usd": usd_number(row.held),
    }


def _cells(row: UsageRow) -> list[str]:
    ended = row.succeeded + row.failed
    return [
        row.team or "total",
        row.key,
        row.model,
        str(row.jobs),
        f"{100 * row.succeeded / ended:.0f} %" if ended else "-",
        str(row.failed),
        str(row.open),
        str(row.refused),
        format_usd(row.spent),
        format_usd(row.held),
    ]
