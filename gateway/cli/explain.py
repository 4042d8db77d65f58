"""Say why a job would be allowed or refused: every rule consulted, what is left, the price and how it was reached.

Nothing is charged, and nothing is sent but a question for the model's detail, where the upstream key is at hand. Exit
status 0 when the job would be allowed, 1 when it would be refused.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.display import BAD, DOUBTFUL, GOOD, IDLE, Marked, print_json, show_line, show_marked
from gateway.cli.invocation import CannotRunError, Invocation, find_key, find_team
from gateway.cli.model_detail import find_detail
from gateway.cli.options import add_settings
from gateway.core.decide import Decision, Verdict, decide, describe_limits
from gateway.core.errors import Refusal
from gateway.core.policy import Caller, Key, PolicySet
from gateway.core.wire import Draft, compose_create
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.reader import LedgerReader, ledger_exists, read_ledger
from gateway.web.usage import explained

SIGNS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.PASS: ("✓", GOOD),
    Verdict.REFUSE: ("✗", BAD),
    Verdict.SHADOW: ("~", DOUBTFUL),
    Verdict.SKIP: ("-", IDLE),
}

ANY_KEY = Key("any", "")
"""Stands in where the team has no key yet."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision, and what it was based on, a sentence each."""

    caller: Caller
    model: str
    decision: Decision
    notes: tuple[str, ...]


def add_options(parser: ArgumentParser) -> None:
    """Who asks for what."""
    parser.add_argument("--team", required=True, help="who asks")
    parser.add_argument("--key", metavar="NAME", help="which of the team's keys; default its first")
    parser.add_argument("--model", required=True, help="the model's id, as the listing writes it")
    parser.add_argument("--payload", metavar="FILE", help="the job's payload as JSON; - is stdin, default an empty one")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_settings(parser, "policies", "ledger", "upstream_url")


def run(call: Invocation) -> int:
    """Print the explanation."""
    policy = call.load_policies()
    caller = _caller(policy, call.options.team, call.options.key)
    draft = _draft(call.options.model, call.options.payload)
    url = call.settings.ledger
    try:
        with read_ledger(url) if ledger_exists(url) else nullcontext() as ledger:
            explanation = _explain(call, policy, caller, draft, ledger)
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None
    if call.options.format == "json":
        about = {"team": caller.team.name, "key": caller.key.name, "model": draft.model}
        spoken = about | explained(explanation.decision) | {"notes": explanation.notes}
        print_json(spoken)
    else:
        _print_text(explanation)
    return 0 if explanation.decision.refusal is None else 1


def _caller(policy: PolicySet, team_name: str, key_name: str | None) -> Caller:
    team = find_team(policy, team_name)
    if key_name is not None:
        return Caller(team, find_key(team, key_name))
    return Caller(team, team.keys[0] if team.keys else ANY_KEY)


def _draft(model: str, payload: str | None) -> Draft:
    """The create that would be sent."""
    try:
        text = sys.stdin.read() if payload == "-" else Path(payload).read_text("utf-8") if payload else "{}"
        return compose_create(model, text)
    except Refusal as refusal:
        raise CannotRunError(f"--payload {payload}: {refusal.message}") from None
    except OSError as error:
        if payload and payload.lstrip().startswith("{"):
            told = "--payload takes the name of a file, or `-` for stdin, and not the JSON itself"
            raise CannotRunError(told) from None
        raise CannotRunError(f"--payload {payload}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CannotRunError(f"--payload {payload}: this is not UTF-8 text") from None


def _explain(
    call: Invocation, policy: PolicySet, caller: Caller, draft: Draft, ledger: LedgerReader | None
) -> Explanation:
    detail, note = find_detail(call, policy, caller.team, draft.model, ledger)
    notes = [note]
    if call.options.payload is None:
        notes.append("No --payload is given, so the payload is judged as empty.")
    if caller.key.has_expired(call.now):
        notes.append(f"The key {caller.key.name!r} has expired: every call with it is refused, whatever stands below.")
    decision = decide(policy, caller, draft, detail, call.now)
    if ledger is None:
        notes.append("There is no ledger here, so nothing counts as used.")
    used = {} if ledger is None else ledger.used([claim.counter for claim in decision.claims])
    return Explanation(caller, draft.model, describe_limits(decision, caller, used, call.now), tuple(notes))


def _print_text(explanation: Explanation) -> None:
    caller, decision = explanation.caller, explanation.decision
    print(f"{caller.team.name} (key {caller.key.name}) asks for {explanation.model}")
    for note in explanation.notes:
        print(f"  {note}")
    show_marked([Marked(*SIGNS[step.verdict], step.rule, step.text) for step in decision.steps])
    if decision.price_text:
        print(f"price: {decision.price_text}")
    if decision.refusal is None:
        show_line("allowed", GOOD)
    else:
        show_line(f"refused: {decision.refusal.status} {decision.refusal.code}: {decision.refusal.message}", BAD)
