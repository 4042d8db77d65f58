"""What is written down of a finished call: metrics with closed labels, and one access line."""

from decimal import Decimal

import msgspec

from gateway.catalogue import is_on_offer
from gateway.core.money import usd_number
from gateway.core.wording import rfc3339
from gateway.telemetry import OTHER, Denial
from gateway.web.auth import client_address
from gateway.web.call import Call
from gateway.web.respond import Reply

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class AccessLine(msgspec.Struct, omit_defaults=True):
    """The access record of one call. Paths, queries and header values stay out: they are the client's, and may hold
    secrets.

    Of a create it says what `replay` needs, and nothing of its payload: price, seconds of video, which job it became.
    """

    time: str
    request_id: str
    client: str
    method: str
    route: str
    status: int
    ms: float
    upstream_ms: float
    team: str = ""
    key: str = ""
    model: str = ""
    usd: int | Decimal | None = None
    seconds: int | None = None
    job: str = ""
    replayed: bool = False
    code: str = ""


def observe(call: Call, reply: Reply, elapsed: float) -> None:
    """Count the call and write its line."""
    gw, who, method = call.gw, call.who, call.scope["method"]
    now = gw.now()
    team = who.team.name if who is not None else OTHER
    route = call.route.label if call.route is not None else OTHER
    tally = gw.metrics.calls.of(team, route, method if method in METHODS else OTHER, reply.status)
    tally.note(elapsed, max(0.0, elapsed - call.upstream_seconds))
    if who is not None:
        gw.key_uses.note(team, who.key.name, now)
    if reply.code:
        _note_refusal(call, reply, team)
    if gw.settings.access_log:
        gw.access_log.write(_line(call, reply, elapsed, route, now))


def _note_refusal(call: Call, reply: Reply, team: str) -> None:
    """Count the refused call, by what no client can make up, and keep it among the latest."""
    gw, who, now = call.gw, call.who, call.gw.now()
    gw.metrics.denied(team, reply.code).inc()
    key = who.key.name if who is not None else ""
    steps = () if call.decision is None else tuple((step.rule, step.verdict, step.text) for step in call.decision.steps)
    gw.denials.add(Denial(now, team, key, call.model, reply.code, reply.message, call.request_id, steps))
    if who is not None:
        model = call.model if is_on_offer(gw, who, call.model) else OTHER
        gw.refusals.note(who, model, reply.code, now)


def _line(call: Call, reply: Reply, elapsed: float, route: str, now: float) -> AccessLine:
    who, decision = call.who, call.decision
    line = AccessLine(
        rfc3339(now),
        call.request_id,
        client_address(call.scope, call.gw.settings.trusted_proxies),
        call.scope["method"],
        route,
        reply.status,
        _milliseconds(elapsed),
        _milliseconds(call.upstream_seconds),
    )
    if who is not None:
        line.team, line.key = who.team.name, who.key.name
    line.model, line.code = call.model, reply.code
    if decision is not None:
        if decision.is_priced:
            line.usd, line.seconds = usd_number(decision.price), decision.seconds
        line.job, line.replayed = call.job, call.replayed
    return line


def _milliseconds(seconds: float) -> float:
    """Rounded to the microsecond."""
    return int(seconds * 1e6 + 0.5) / 1000
