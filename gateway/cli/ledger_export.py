"""`ledger export`: the chargeback, for the program that writes the bills."""

import csv
import sys
from argparse import ArgumentParser
from collections.abc import Iterable

import msgspec

from gateway.cli.invocation import Invocation
from gateway.cli.months import Month, add_months, monthly_usage, months_asked, teams_asked
from gateway.core.money import format_usd
from gateway.ledger.reader import read_ledger
from gateway.ledger.values import UsageRow

COLUMNS = {
    "month": "The calendar month, in the team's own time zone.",
    "team": "The team's name.",
    "key": "The name of the key that called.",
    "model": "The model; `other` for refused calls that were about none, or about none the team may use.",
    "jobs": "Jobs upstream accepted, and creates whose outcome is open.",
    "succeeded": "Of these, jobs that ended well.",
    "unsuccessful": "Jobs that failed, were cancelled or were never seen to end.",
    "open": "Jobs that have not ended.",
    "refused": "Calls the gateway answered with an error of its own.",
    "seconds": "Seconds of video these jobs asked for.",
    "charged_usd": "USD kept for jobs that ended.",
    "held_usd": "USD held by jobs that have not ended; it is charged if they succeed and comes back if they fail.",
}
"""What every line holds, in this order."""

_MONEY = ("charged_usd", "held_usd")


def add_export_options(parser: ArgumentParser) -> None:
    """Whose bill, for when, and in which form."""
    parser.add_argument("--team", help="this team alone")
    add_months(parser)
    parser.add_argument("--format", choices=("csv", "json"), default="csv")


def run_export(call: Invocation) -> int:
    """Print a line for each month, team, key and model as it is read. Raises LedgerUnavailable."""
    months, policy = months_asked(call), call.load_policies()
    with read_ledger(call.settings.ledger) as ledger:
        teams = teams_asked(ledger, policy, call.options.team)
        lines = (_line(month, row) for month, row in monthly_usage(ledger, policy, months, teams))
        if call.options.format == "csv":
            _write_csv(lines)
        else:
            _write_json(lines)
    return 0


def _line(month: Month, row: UsageRow) -> dict[str, str | int]:
    """Money as decimal text: a float would show a micro-dollar as `1e-06`."""
    values = (
        *(month.label, row.team, row.key, row.model),
        *(row.jobs, row.succeeded, row.failed, row.open, row.refused, row.seconds),
        *(format_usd(row.charged), format_usd(row.held)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _write_csv(lines: Iterable[dict[str, str | int]]) -> None:
    table = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)


def _write_json(lines: Iterable[dict[str, str | int]]) -> None:
    """One array, an object a line; money is a number, written exactly."""
    separator = "[\n"
    for line in lines:
        exact = {name: msgspec.Raw(str(value).encode()) if name in _MONEY else value for name, value in line.items()}
        sys.stdout.write(separator + msgspec.json.encode(exact).decode())
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")
