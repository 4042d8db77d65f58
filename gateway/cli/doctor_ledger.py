"""`doctor` on the ledger: there, of this schema, right in a sample, and kept over a power cut."""

from collections.abc import Iterator

from gateway.cli.doctor_network import check_clock, now
from gateway.cli.findings import Finding, fail, ok, warn
from gateway.cli.invocation import Invocation
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.migrate import HEAD
from gateway.ledger.reader import LedgerReader, ledger_exists, read_ledger

SAMPLE = 200
"""Counters that are added up again."""


def check_ledger(call: Invocation) -> list[Finding]:
    """Each property of the ledger. One that does not exist yet is no fault: `serve` creates it."""
    url = call.settings.ledger
    try:
        if not ledger_exists(url):
            parsed = ledger_url(url)
            text = f"there is none at {backend_of(parsed).name_of(parsed)} yet"
            return [warn("ledger", text, "right before the first start; else point to it with --ledger")]
        with read_ledger(url) as ledger:
            parsed = ledger_url(url)
            return [ok("ledger", f"{backend_of(parsed).name_of(parsed)} has schema {HEAD}"), *_look_into(ledger)]
    except LedgerUnavailable as error:
        remedy = "creates are refused until it can be used: see `The ledger is unavailable` in docs/operating.md"
        return [fail("ledger", str(error), remedy)]


def _look_into(ledger: LedgerReader) -> Iterator[Finding]:
    differences = ledger.verify(SAMPLE)
    if differences:
        remedy = "run `gmi-gateway ledger verify`, and report what it lists"
        yield fail("counters", f"{len(differences)} of a sample are wrong", remedy)
    else:
        yield ok("counters", f"a sample of at most {SAMPLE} is right")
    durability = ledger.durability()
    if durability.problem:
        remedy = "turn the settings on: what is reserved must be known before upstream is called"
        yield fail("durability", f"{durability.settings}: {durability.problem}", remedy)
    else:
        yield ok("durability", durability.settings)
    theirs = ledger.instant()
    if theirs is not None:
        yield check_clock("the database", theirs, now())
