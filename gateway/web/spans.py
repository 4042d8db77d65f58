"""The span of a call on the public listener, in the words of OpenTelemetry's HTTP conventions.

What it says is what the access line says: names from policies, the route, the job. A path as it was sent, a query or a
header may hold a secret, and stays out.
"""

from functools import partial

from gateway.upstream.client import Trace
from gateway.web.call import Call
from gateway.web.observe import METHODS
from gateway.web.routes import Route
from gateway.web.tracing import callers_context

_BROKEN_OFF = "broken_off"


def begin_span(call: Call) -> None:
    """Record the call from now until it is over. What it asks of upstream is a child of it."""
    context = callers_context(call.scope["headers"]) if b"traceparent" in call.named else ()
    span = call.gw.traces.begin_call(context or ())
    call.span = span
    call.trace = Trace(call.request_id, span.context, span.traceparent)
    call.ends.callback(partial(_end, call))


def link_shared(call: Call, span: str | None) -> None:
    """Say which call to upstream, begun for another of our callers, brought what this one is answered."""
    if call.span is not None and span is not None:
        call.span.link(span)


def _end(call: Call) -> None:
    assert call.span is not None
    method = call.scope["method"] if call.scope["method"] in METHODS else "_OTHER"
    facts: dict[str, str | int | float] = {
        "http.request.method": method,
        "url.scheme": call.scope["scheme"],
        "gateway.request_id": call.request_id,
    }
    if call.route is not None:
        facts["http.route"] = call.route.template
        if call.route.pattern is None:
            facts["url.path"] = call.route.path
    if call.who is not None:
        facts |= {"gateway.team": call.who.team.name, "gateway.key": call.who.key.name}
    if call.model:
        facts["gateway.model"] = call.model
    job = call.job or _job_asked_for(call)
    if job:
        facts["gateway.job"] = job
    fault = _BROKEN_OFF
    if call.reply is not None:
        fault = (call.reply.code or str(call.reply.status)) if call.reply.status >= 500 else ""
        facts["http.response.status_code"] = call.reply.status
        if call.reply.code:
            facts["gateway.code"] = call.reply.code
    call.span.end(_name_of(method, call.route), facts, fault)


def _job_asked_for(call: Call) -> str:
    """The id in the path once it has proved to be that of the team's own job; until then it may be anything."""
    if call.route is None or call.reply is None or call.reply.status >= 400:
        return ""
    return call.identifier if "/requests/{id}" in call.route.label else ""


def _name_of(method: str, route: Route | None) -> str:
    verb = "HTTP" if method == "_OTHER" else method
    return verb if route is None else f"{verb} {route.template}"
