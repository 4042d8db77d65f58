"""A model that upstream wants left alone for a while: its own 429 is told again to everyone until then.

Upstream's limits are per organisation and model, so one team that runs into one would otherwise be followed by all the
others, and each refused create would put off the moment at which upstream takes one again.
"""

from math import ceil

from gateway.context import Gateway
from gateway.ledger.values import Reply
from gateway.memory import Gate
from gateway.upstream.client import Answer

_RETRY_AFTER = b"retry-after"


def close_gate(gw: Gateway, credential: str, model: str, answer: Answer) -> None:
    """Upstream answered a create for the model with this 429: nobody asks again before its `Retry-After` is over."""
    now = gw.ticks()
    for place in [place for place, gate in gw.gates.items() if gate.opens_at <= now]:
        del gw.gates[place]
    headers = tuple(header for header in answer.headers if header[0] != _RETRY_AFTER)
    wait = int(answer.header(_RETRY_AFTER) or b"1")
    gw.gates[credential, model] = Gate(now + wait, Reply(answer.status, headers, answer.body))


def closed_gate(gw: Gateway, credential: str, model: str) -> Reply | None:
    """Upstream's 429 with the seconds that are left of it; None if the model may be asked for."""
    gate = gw.gates.get((credential, model))
    left = 0.0 if gate is None else gate.opens_at - gw.ticks()
    if gate is None or left <= 0:
        return None
    answer = gate.answer
    return Reply(answer.status, (*answer.headers, (_RETRY_AFTER, b"%d" % ceil(left))), answer.body)
