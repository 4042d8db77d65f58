"""What is written down of a finished call: metrics with closed labels, and one access line."""

from typing import Any

from gateway.catalogue import is_on_offer
from gateway.core.decide import Decision
from gateway.core.money import usd_number
from gateway.core.wording import rfc3339
from gateway.telemetry import OTHER, Denial
from gateway.web.auth import client_address
from gateway.web.call import Call
from gateway.web.respond import Reply

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def observe(call: Call, reply: Reply, elapsed: float) -> None:
    """Count the call and write its line."""
    team = call.who.team.name if call.who is not None else OTHER
    route = call.route.label if call.route is not None else OTHER
    method = call.scope["method"] if call.scope["method"] in METHODS else OTHER
    tally = call.gw.metrics.calls.of(team, route, method, reply.status)
    tally.note(elapsed, max(0.0, elapsed - call.upstream_seconds))
    if call.who is not None:
        call.gw.key_uses.note(team, call.who.key.name, call.gw.now())
    if reply.code:
        _note_refusal(call, reply, team)
    if call.gw.settings.access_log:
        call.gw.access_log.write(_line(call, reply, elapsed, route))


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


def _line(call: Call, reply: Reply, elapsed: float, route: str) -> dict[str, Any]:
    """The access record. Paths, queries and header values stay out: they are the client's, and may hold secrets."""
    line: dict[str, Any] = {
        "time": rfc3339(call.gw.now()),
        "request_id": call.request_id,
        "client": client_address(call.scope, call.gw.settings.trusted_proxies),
        "method": call.scope["method"],
        "route": route,
        "status": reply.status,
        "ms": round(elapsed * 1000, 3),
        "upstream_ms": round(call.upstream_seconds * 1000, 3),
    }
    if call.who is not None:
        line["team"], line["key"] = call.who.team.name, call.who.key.name
    if call.model:
        line["model"] = call.model
    if call.decision is not None:
        line |= _create_facts(call, call.decision)
    if reply.code:
        line["code"] = reply.code
    return line


def _create_facts(call: Call, decision: Decision) -> dict[str, Any]:
    """What `replay` needs of a create, and nothing of its payload: price, seconds of video, which job it became."""
    facts: dict[str, Any] = {}
    if decision.is_priced:
        facts |= {"usd": usd_number(decision.price), "seconds": decision.seconds}
    if call.job:
        facts["job"] = call.job
    if call.replayed:
        facts["replayed"] = True
    return facts
