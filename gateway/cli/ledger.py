"""Look after the ledger.

`migrate` brings its schema up to date, as `serve` does by itself when it starts. `verify` adds up every counter again
from the jobs and reservations, lists each difference, and exits with 1 if there is any. `export` prints the chargeback
as CSV or JSON: a line for each month, team, key and model.
"""

import logging
from argparse import ArgumentParser
from collections.abc import Callable

from gateway.cli.display import BAD, GOOD, show_line
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.ledger_export import add_export_options, run_export
from gateway.cli.options import add_settings
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.migrate import HEAD
from gateway.ledger.reader import ledger_exists, read_ledger
from gateway.logs import logger

_HELP = {
    "migrate": "bring the schema up to date, or create the ledger",
    "verify": "add up every counter again; exit status 1 if one differs",
    "export": "the chargeback by month, team, key and model, for programs",
}


def add_options(parser: ArgumentParser) -> None:
    """One command each for migrate, verify and export."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added = {name: actions.add_parser(name, help=does, description=does) for name, does in _HELP.items()}
    add_export_options(added["export"])
    add_settings(added["export"], "policies")
    for action in added.values():
        add_settings(action, "ledger")


def run(call: Invocation) -> int:
    """Do it."""
    try:
        return _ACTIONS[call.options.action](call)
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None


def _migrate(call: Invocation) -> int:
    url = call.settings.ledger
    existed = ledger_exists(url)
    logger.setLevel(logging.ERROR)  # what is done here is said below
    parsed = ledger_url(url)
    backend_of(parsed).prepare(parsed)
    print(f"the ledger {'has' if existed else 'was created with'} schema {HEAD}")
    return 0


def _verify(call: Invocation) -> int:
    with read_ledger(call.settings.ledger) as ledger:
        differences, counted = ledger.verify(), ledger.counted()
    for difference in differences:
        show_line(str(difference), BAD)
    if differences:
        print(f"found wrong: {len(differences)}")
        return 1
    show_line(
        f"every counter is right: {counted} added up again" if counted else "right: there is no counter yet", GOOD
    )
    return 0


_ACTIONS: dict[str, Callable[[Invocation], int]] = {"migrate": _migrate, "verify": _verify, "export": run_export}
