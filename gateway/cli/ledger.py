"""Look after the ledger.

`migrate` brings its schema up to date, as `serve` does by itself when it starts. `verify` adds up every counter again
from the jobs and reservations, lists each difference, and exits with 1 if there is any.
"""

import logging
from argparse import ArgumentParser

from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import add_settings
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.migrate import HEAD
from gateway.ledger.reader import ledger_exists, read_ledger
from gateway.logs import logger


def add_options(parser: ArgumentParser) -> None:
    """What to do, and with which ledger."""
    parser.add_argument("action", choices=("migrate", "verify"), help="what to do")
    add_settings(parser, "ledger")


def run(call: Invocation) -> int:
    """Do it."""
    url = call.settings.ledger
    try:
        return _migrate(url) if call.options.action == "migrate" else _verify(url)
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None


def _migrate(url: str) -> int:
    existed = ledger_exists(url)
    logger.setLevel(logging.ERROR)  # what is done here is said below
    parsed = ledger_url(url)
    backend_of(parsed).prepare(parsed)
    print(f"the ledger {'has' if existed else 'was created with'} schema {HEAD}")
    return 0


def _verify(url: str) -> int:
    with read_ledger(url) as ledger:
        differences = ledger.verify()
    for difference in differences:
        print(f"{difference.counter}: is {difference.value}, should be {difference.expected}")
    if differences:
        print(f"wrong counters: {len(differences)}")
        return 1
    print("every counter is right")
    return 0
