"""A model that upstream wants left alone for a while: its 429 is told again to everyone until then.

Upstream's limits are per organisation and model, so one team that runs into one would otherwise be followed by all the
others, and each refused create would put off the moment at which upstream takes one again.

For a model that policy calls fair, creates whose clients wait stand in line meanwhile, and are let through team by
team when the gate opens. One that waits holds no reservation: nothing is running for it, so it takes nothing from its
team's limits, and it leaves nothing behind if its client goes away. Its limits are checked when its turn has come.
"""

import asyncio
import logging
from contextlib import suppress
from math import ceil, inf

import msgspec

from gateway.context import Gateway
from gateway.core.headers import JSON
from gateway.ledger.values import KeptAnswer
from gateway.lines import Gate, Line
from gateway.logs import log_event
from gateway.upstream.answer import LONGEST_WAIT, Answer, seconds_refused, stated_limit
from gateway.waits import Wait

_RETRY_AFTER = b"retry-after"


def close_gate(gw: Gateway, credential: str, model: str, answer: Answer) -> None:
    """Upstream answered a create for the model with this 429: nobody asks again before the time it names is over.

    Of creates that were under way together the last answer may name a shorter time; the longer one holds.
    """
    now, here = gw.ticks(), (credential, model)
    for place in [place for place, gate in gw.gates.items() if gate.opens_at <= now and place not in gw.lines]:
        del gw.gates[place]
    seconds = seconds_refused(answer)
    gate, before = Gate(now + seconds, stated_limit(answer.body)), gw.gates.get(here)
    if before is None or before.opens_at <= now:
        told = round(seconds, 3)
        log_event(logging.WARNING, "upstream limits a model", credential=credential, model=model, seconds=told)
    gw.gates[here] = max(gate, before or gate, key=lambda each: each.opens_at)
    line = gw.lines.get(here)
    if line is not None:
        line.slow_down()


def closed_gate(gw: Gateway, credential: str, model: str, *, in_turn: bool = False) -> KeptAnswer | None:
    """Upstream's 429 with the time that is left of it; None if the model may be asked for.

    While others wait in line it is told to everyone whose turn it is not.
    """
    gate, line = gw.gates.get((credential, model)), gw.lines.get((credential, model))
    if gate is None:
        return None
    others_wait = line is not None and len(line) > 0 and not in_turn
    return told_again(gw, credential, model) if others_wait or gate.opens_at > gw.ticks() else None


def told_again(gw: Gateway, credential: str, model: str) -> KeptAnswer:
    """Upstream's 429 in its own words and shape, with the time that is left. Its clients read it from the body.

    Nothing else of the first answer is told: its words, its headers and a job it may name are the team's that got it.
    """
    gate = gw.gates[credential, model]
    left = min(LONGEST_WAIT, _left(gw, gate, gw.lines.get((credential, model))))
    milliseconds, seconds = max(1, ceil(left * 1000)), max(1, ceil(left))
    limit, interval = gate.limit.get("limit"), gate.limit.get("interval_seconds")
    pace = "" if limit is None or interval is None else f": {limit} requests per {interval} seconds"
    sentence = f"Rate limit exceeded for model {model}{pace}. Retry in {milliseconds} ms."
    body = {"error": sentence, "rate_limit": {**gate.limit, "retry_after_ms": milliseconds}}
    return KeptAnswer(429, (JSON, (_RETRY_AFTER, b"%d" % seconds)), msgspec.json.encode(body))


def _left(gw: Gateway, gate: Gate, line: Line | None) -> float:
    """Seconds until a create may be taken: the gate may be open, and the line still wait for upstream to have room.

    Where it depends on others whether one may be taken by then, a second at least.
    """
    now = gw.ticks()
    pause = 0.0 if line is None else line.pause(gate.limit, now)
    left = max(gate.opens_at - now, pause if pause < inf else 0.0)
    return left if left > 0 and not line else max(1.0, left)


def line_for(gw: Gateway, credential: str, model: str) -> Line | None:
    """The line that a create which can wait has to join; None if the model may be asked for at once."""
    line = gw.lines.get((credential, model))
    if line is None and closed_gate(gw, credential, model) is not None:
        line = gw.lines[credential, model] = Line()
        gw.tasks.start(_serve(gw, (credential, model), line), "let creates through")
    return line


async def await_turn(line: Line, wait: Wait) -> bool:
    """Stand in line until it is this create's turn, which ends with `Turn.end`.

    False if the wait is over first: the place in line is free, and nothing has happened.
    """
    team = wait.caller.team.name
    turn = line.join(team)
    came = False
    try:
        await wait.for_either(turn)
        came = turn.done() and not wait.is_over
    finally:
        if not came:
            line.leave(team, turn)
    return came


async def _serve(gw: Gateway, place: tuple[str, str], line: Line) -> None:
    """Let through who is next, whenever the gate is open, upstream has room, and those before have their answers."""
    while line.is_busy:
        gate = gw.gates.get(place)
        left = 0.0 if gate is None else gate.opens_at - gw.ticks()
        if left <= 0:
            left = line.let_through({} if gate is None else gate.limit, gw.ticks())
        with suppress(TimeoutError):
            async with asyncio.timeout(left if left < inf else None):
                await line.moved.wait()
        line.moved.clear()
    del gw.lines[place]
