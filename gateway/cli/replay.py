"""Run the creates of an access log against other policies: who would now be refused, why, and for how much money.

LOG is what the gateway wrote to stdout: JSON lines, plain or gzip, `-` for stdin. Where its events from stderr are
there too, in the same file or in one of their own, the ends of jobs are known, and with them what limits on jobs at
once would do. Every call counts at the time it came, on counters that begin empty. Exit status 0 when no create would
newly be refused, 1 when some would.
"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.access_log import Asked, Ended, Unread, read_logs
from gateway.cli.display import BAD, GOOD, print_json, show_line, show_table
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import add_settings
from gateway.cli.rehearsal import Price, Rehearsal, has_slots, price_for
from gateway.core.errors import Code, Refusal
from gateway.core.money import format_usd, usd_number
from gateway.core.policy import PolicySet
from gateway.core.strict_json import shown
from gateway.core.wording import rfc3339

POLICY_CODES = frozenset(
    (
        *(Code.KEY_EXPIRED, Code.SCOPE_DENIED, Code.MODEL_NOT_ALLOWED, Code.PRICE_UNKNOWN),
        *(Code.BUDGET_EXCEEDED, Code.QUOTA_EXCEEDED, Code.CONCURRENCY_EXCEEDED),
    )
)
"""Refusals that other policies may undo. Any other create that became no job is not judged."""


@dataclass
class Refusals:
    """Creates refused alike: how many, for how much micro-USD, and the first of them."""

    message: str
    first: float
    creates: int = 0
    usd: int = 0


@dataclass
class Result:
    """What the replay found. `refused` is by team, code and limit; `not_judged` by the code or status of then."""

    refused: dict[tuple[str, str, str], Refusals] = field(default_factory=dict)
    judged: int = 0
    usd: int = 0
    allowed_now: Counter[str] = field(default_factory=Counter)
    refused_again: int = 0
    replayed: int = 0
    not_judged: Counter[str] = field(default_factory=Counter)
    old_prices: int = 0
    no_prices: int = 0
    unread: int = 0
    first: float | None = None
    last: float = 0.0


def add_options(parser: ArgumentParser) -> None:
    """The log and the policies."""
    parser.add_argument("logs", metavar="LOG", nargs="+", help="the access log, and the events; - is stdin")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_settings(parser, "policies")


def run(call: Invocation) -> int:
    """Replay the log and print what came of it."""
    policy = call.load_policies()
    rehearsal, result = Rehearsal(policy), Result()
    for entry in read_logs(call.options.logs):
        if isinstance(entry, Asked):
            _ask(rehearsal, result, entry)
        elif isinstance(entry, Ended):
            rehearsal.end(entry)
        result.unread += isinstance(entry, Unread)
    if result.first is None:
        names = ", ".join(call.options.logs)
        raise CannotRunError(f"{names} holds no access line: give it what the gateway writes to stdout")
    notes = _notes(policy, rehearsal, result)
    if call.options.format == "json":
        print_json(_values(result, notes))
    else:
        _print_text(result, notes)
    return 1 if result.refused else 0


def _ask(rehearsal: Rehearsal, result: Result, asked: Asked) -> None:
    """Count one call, and judge it if it is a create whose fate the policies decide."""
    result.first = asked.instant if result.first is None else min(result.first, asked.instant)
    result.last = max(result.last, asked.instant)
    refusal = rehearsal.count(asked)
    if not asked.is_create:
        return
    if asked.replayed:
        result.replayed += 1
        return
    if not asked.model or not (asked.was_placed or asked.code in POLICY_CODES):
        result.not_judged[asked.code or str(asked.status)] += 1
        return
    price = price_for(rehearsal.policy, asked)
    refusal = refusal or rehearsal.create(asked, price)
    _note(result, asked, price, refusal)


def _note(result: Result, asked: Asked, price: Price, refusal: Refusal | None) -> None:
    was_refused = not asked.was_placed
    result.judged += 1
    result.old_prices += price.amount is not None and not price.is_new
    result.no_prices += price.amount is None
    if refusal is None:
        if was_refused:
            result.allowed_now[asked.team] += 1
        return
    if was_refused:
        result.refused_again += 1
        return
    limit = refusal.quota.name if refusal.quota is not None else ""
    found = result.refused.setdefault((asked.team, refusal.code.value, limit), Refusals(refusal.message, asked.instant))
    found.creates += 1
    found.usd += price.amount or 0
    result.usd += price.amount or 0


def _notes(policy: PolicySet, rehearsal: Rehearsal, result: Result) -> list[str]:
    """What the answer rests on, and what it cannot know; a sentence each."""
    notes = ["Counters begin empty: what was used before the log's first line is not known."]
    if any(team.payload for team in policy.teams.values()):
        notes.append("Payload rules are not judged: the log holds no payloads.")
    if has_slots(policy) and not rehearsal.ends_seen:
        notes.append("Jobs at once are not judged: the log holds no `job ended` events, which go to stderr.")
    if result.old_prices:
        why = "the new one depends on the payload, or is the model's own"
        notes.append(f"{_creates(result.old_prices)} at the log's price: {why}.")
    if result.no_prices:
        notes.append(f"{_creates(result.no_prices)} without a price, counted as 0.")
    if result.replayed:
        notes.append(f"{_creates(result.replayed)} repeated an earlier one by its Idempotency-Key and took nothing.")
    if result.not_judged:
        counts = ", ".join(f"{shown(code)} {count}" for code, count in sorted(result.not_judged.items()))
        notes.append(f"{_creates(result.not_judged.total())} not judged, because no policy decided them: {counts}.")
    if result.unread:
        notes.append(f"Lines that are none of an access log: {result.unread}.")
    return notes


def _creates(number: int) -> str:
    return f"{number} create" if number == 1 else f"{number} creates"


def _print_text(result: Result, notes: Iterable[str]) -> None:
    assert result.first is not None
    print(f"{_creates(result.judged)} from {rfc3339(result.first)} to {rfc3339(result.last)}")
    for note in notes:
        print(f"  {note}")
    groups = sorted(result.refused.items())
    if groups:
        rows = [(*map(shown, whose), str(group.creates), format_usd(group.usd)) for whose, group in groups]
        show_table(("TEAM", "REASON", "LIMIT", "CREATES", "USD"), rows, right=frozenset((3, 4)))
        for (team, code, _), group in groups:
            show_line(f"✗ {shown(team)} {code}, first at {rfc3339(group.first)}: {_one_line(group.message)}")
    count = sum(group.creates for group in result.refused.values())
    told = f"would now be refused: {count} of {_creates(result.judged)}, {format_usd(result.usd)} USD"
    show_line(told, BAD if count else GOOD)
    print(f"refused then, allowed now: {result.allowed_now.total()}; refused then and now: {result.refused_again}")


def _one_line(message: str) -> str:
    """A sentence that names what the log says, which may have been written by anybody."""
    return "".join(letter if letter.isprintable() else "?" for letter in message)


def _values(result: Result, notes: list[str]) -> Mapping[str, Any]:
    assert result.first is not None
    return {
        "from": rfc3339(result.first),
        "to": rfc3339(result.last),
        "creates": result.judged,
        "refused": {"creates": sum(group.creates for group in result.refused.values()), "usd": usd_number(result.usd)},
        "by_reason": [
            {
                "team": team,
                "code": code,
                "limit": limit or None,
                "creates": group.creates,
                "usd": usd_number(group.usd),
                "first": rfc3339(group.first),
                "message": group.message,
            }
            for (team, code, limit), group in sorted(result.refused.items())
        ],
        "allowed_now": dict(sorted(result.allowed_now.items())),
        "refused_again": result.refused_again,
        "replayed": result.replayed,
        "not_judged": dict(sorted(result.not_judged.items())),
        "unread": result.unread,
        "notes": notes,
    }
