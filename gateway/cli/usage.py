"""Jobs, money and refused calls by team, key and model, of a month or of several.

A month begins and ends in each team's own time zone, as its limits do. Jobs that upstream refused are not counted. USD
is what counts against a budget: the money kept, and what jobs that still run hold, which comes back if they fail; how
much of it is held stands beside it. `ledger export` tells the two apart, as charged and held. Unsuccessful are the jobs
that failed, were cancelled or were never seen to end. Refused are the calls the gateway answered with an error of its
own; the model is `other` for those that were about none, or about none the team may use. A gateway writes them down
every two seconds.
"""

import csv
import dataclasses
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from gateway.cli.display import print_json, show_table
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.months import Month, add_months, monthly_usage, months_asked, teams_asked
from gateway.cli.options import add_settings
from gateway.core.money import format_usd, usd_number
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.reader import read_ledger
from gateway.ledger.values import UsageRow

HEADER = ("TEAM", "KEY", "MODEL", "JOBS", "SUCCESS", "UNSUCCESSFUL", "OPEN", "REFUSED", "USD", "OF IT HELD")

Found = Sequence[tuple[Month, UsageRow]]


def add_options(parser: ArgumentParser) -> None:
    """Whose usage, when, and how it is shown."""
    parser.add_argument("--team", help="this team alone")
    add_months(parser)
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    add_settings(parser, "policies", "ledger")


def run(call: Invocation) -> int:
    """Print it."""
    months, policy = months_asked(call), call.load_policies()
    try:
        with read_ledger(call.settings.ledger) as ledger:
            teams = teams_asked(ledger, policy, call.options.team)
            found = list(monthly_usage(ledger, policy, months, teams))
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None
    _PRINTERS[call.options.format](months, found)
    return 0


def _print_json(months: Sequence[Month], found: Found) -> None:
    if len(months) == 1:
        about, rows = {"month": months[0].label}, [_values(row) for _, row in found]
    else:
        about = {"from": months[0].label, "to": months[-1].label}
        rows = [{"month": month.label, **_values(row)} for month, row in found]
    total = _values(_total(row for _, row in found))
    print_json({**about, "rows": rows, "total": total})


def _print_csv(months: Sequence[Month], found: Found) -> None:
    several = ["month"] if len(months) > 1 else []
    table = csv.DictWriter(
        sys.stdout, [*several, "team", "key", "model", *_values(_NOTHING)], lineterminator="\n", extrasaction="ignore"
    )
    table.writeheader()
    for month, row in found:
        money = {"usd": format_usd(row.spent), "held_usd": format_usd(row.held)}
        table.writerow({"month": month.label, **_values(row), **money})


def _print_table(months: Sequence[Month], found: Found) -> None:
    total = _cells(_total(row for _, row in found))
    if len(months) == 1:
        lines = [*(_cells(row) for _, row in found), total]
        show_table(HEADER, lines, right=frozenset(range(3, len(HEADER))))
        return
    lines = [*([month.label, *_cells(row)] for month, row in found), ["", *total]]
    show_table(("MONTH", *HEADER), lines, right=frozenset(range(4, len(HEADER) + 1)))


_PRINTERS = {"json": _print_json, "csv": _print_csv, "table": _print_table}


def _total(rows: Iterable[UsageRow]) -> UsageRow:
    """The sum of every number, as a row of nobody's."""
    numbers = [dataclasses.astuple(row)[3:] for row in rows]
    return UsageRow("", "", "", *(sum(column) for column in zip(*numbers, strict=True))) if numbers else _NOTHING


_NOTHING = UsageRow("", "", "", jobs=0, succeeded=0, failed=0, open=0, charged=0, held=0, refused=0, seconds=0)


def _values(row: UsageRow) -> Mapping[str, str | int | Decimal | None]:
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
