"""The span of one request to upstream, in the words of OpenTelemetry's HTTP conventions."""

from gateway.telemetry import Span, Traces
from gateway.telemetry.traces import Facts
from gateway.upstream.dialing import Origin
from gateway.upstream.request import TEMPLATES, Question


def begin_span(traces: Traces, origin: Origin, question: Question) -> Span:
    """A request is about to be sent."""
    return traces.begin_question(_name_of(question), _facts_of(origin, question))


def end_span(span: Span, question: Question, code: str) -> None:
    """It was answered with the status `code`, or is over for the reason that this names."""
    if not code.isdigit():
        span.end(_name_of(question), {}, code)
    else:
        span.end(_name_of(question), {"http.response.status_code": int(code)}, code if int(code) >= 400 else "")


def _name_of(question: Question) -> str:
    return f"{question.method} {TEMPLATES[question.operation]}"


def _facts_of(origin: Origin, question: Question) -> Facts:
    """Its path is of upstream's own ids. The query stays out, and with it a list's model."""
    scheme = "https" if origin.server_name else "http"
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return {
        "http.request.method": question.method,
        "server.address": origin.host,
        "server.port": origin.port,
        "url.full": f"{scheme}://{host}:{origin.port}{question.target.partition('?')[0]}",
        "url.template": TEMPLATES[question.operation],
        "gateway.operation": question.operation.value,
    }
