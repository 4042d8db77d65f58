"""Say what changes in effect from one set of policies to another, team by team.

OLD and NEW are folders or files. Defaults are taken in and overrides count as they are in force now, so a change of
words that changes nothing is no change. Models are compared by upstream's listing where the ledger keeps one, and by
the patterns. Exit status, as of `diff`: 0 no change, 1 changes, 2 policies that cannot be used.
"""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from gateway.catalogue import snapshot_name
from gateway.cli.changes import Change, Kind, changes_between
from gateway.cli.display import BAD, DOUBTFUL, GOOD, Marked, show_line, show_marked
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import add_settings
from gateway.core.policy import PolicySet
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.reader import ledger_exists, read_ledger
from gateway.policies import load
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.translate import model_ids

SIGNS = {
    Kind.GAINED: ("+", GOOD),
    Kind.LOST: ("-", BAD),
    Kind.RAISED: ("↑", GOOD),
    Kind.LOWERED: ("↓", BAD),
    Kind.CHANGED: ("~", DOUBTFUL),
}

_MOST_MODELS = 20
"""Models gained or lost at once that are named; the others are counted."""


def add_options(parser: ArgumentParser) -> None:
    """The two sets, and where a listing may be kept."""
    parser.add_argument("old", metavar="OLD", help="the policies in force: a folder or a file")
    parser.add_argument("new", metavar="NEW", help="the policies that are to come")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_settings(parser, "ledger", "upstream_url")


def run(call: Invocation) -> int:
    """Print the changes."""
    old, new = _load(call.options.old), _load(call.options.new)
    catalogue = _kept_models(call, (old, new))
    changes = changes_between(old, new, catalogue, call.now)
    if call.options.format == "json":
        rows = [
            {
                "team": change.team or None,
                "subject": change.subject,
                "change": change.kind.value,
                "before": change.before,
                "after": change.after,
            }
            for change in changes
        ]
        print(json.dumps({"by_listing": catalogue is not None, "changes": rows}, indent=2, ensure_ascii=False))
    else:
        _print_text(changes, "" if catalogue is not None else call.settings.upstream_url)
    return 1 if changes else 0


def _load(path: str) -> PolicySet:
    loaded = load(Path(path))
    if loaded.policy is None:
        problems = "\n".join(map(str, loaded.problems))
        raise CannotRunError(f"{path} cannot be used; see `gmi-gateway check {path}`\n{problems}")
    return loaded.policy


def _kept_models(call: Invocation, policies: Iterable[PolicySet]) -> frozenset[str] | None:
    """Every model that a gateway last saw listed for any credential in use; None where nothing is kept."""
    url, upstream_url = call.settings.ledger, call.settings.upstream_url
    credentials = {team.credential for policy in policies for team in policy.teams.values()}
    kept = []
    try:
        if ledger_exists(url):
            with read_ledger(url) as ledger:
                kept = [ledger.snapshot(snapshot_name(upstream_url, ("models", name))) for name in credentials]
        listings = [model_ids(snapshot.body) for snapshot in kept if snapshot is not None]
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None
    except UpstreamFailure:  # what is kept is no listing
        listings = []
    return frozenset(model for listing in listings for model in listing) if listings else None


def _print_text(changes: list[Change], unlisted: str) -> None:
    """The changes by team; first of all the upstream whose models are not known, if there is one."""
    if unlisted:
        print(f"No listing of {unlisted} is kept in a ledger here, so models are compared by the patterns alone.")
    for team, of_team in groupby(changes, lambda change: change.team):
        show_line(team or "every team", "bold")
        show_marked(list(_lines(of_team)), "  ")
    count = len(changes)
    print("no change in effect" if not count else f"{count} change{'s' if count > 1 else ''} in effect")


def _lines(changes: Iterable[Change]) -> Iterable[Marked]:
    """A line for each; of many models alike only the first."""
    for (subject, kind), group in groupby(changes, lambda change: (change.subject, change.kind)):
        alike = list(group)
        shown = alike[:_MOST_MODELS] if subject == "model" else alike
        yield from (Marked(*SIGNS[kind], subject, change.text) for change in shown)
        if len(alike) > len(shown):
            yield Marked(*SIGNS[kind], subject, f"… and {len(alike) - len(shown)} more")
