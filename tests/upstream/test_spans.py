"""The span of a request to upstream: HTTP's conventions, and nothing of a query."""

from dataclasses import dataclass, field

import pytest

from gateway.telemetry import NO_SPAN, NO_TRACES, Span
from gateway.telemetry.traces import Facts, NoSpan, NoTraces
from gateway.upstream import request
from gateway.upstream.dialing import Origin
from gateway.upstream.request import PREFIX, TEMPLATES, Operation
from gateway.upstream.spans import begin_span, end_span

GMI = Origin("console.gmicloud.ai", 443, "console.gmicloud.ai")


@dataclass
class OneSpan(NoSpan, NoTraces):
    """Remembers the one span that is begun and ended on it."""

    on = True
    begun: tuple[str, Facts] = ("", {})
    ended: tuple[str, Facts, str] = field(default=("", {}, ""))

    def begin_question(self, name: str, facts: Facts) -> Span:
        self.begun = (name, facts)
        return self

    def end(self, name: str, facts: Facts, fault: str = "") -> None:
        self.ended = (name, facts, fault)


def test_where_nothing_is_traced_there_is_no_span() -> None:
    span = begin_span(NO_TRACES, GMI, request.list_models())
    assert span is NO_SPAN
    end_span(span, request.list_models(), "200")


def test_a_request_is_named_by_its_template_and_its_query_stays_out() -> None:
    traces = OneSpan()
    begin_span(traces, GMI, request.list_requests("canary", 10, 20))
    assert traces.begun == (
        f"GET {PREFIX}/requests",
        {
            "http.request.method": "GET",
            "server.address": "console.gmicloud.ai",
            "server.port": 443,
            "url.full": f"https://console.gmicloud.ai:443{PREFIX}/requests",
            "url.template": f"{PREFIX}/requests",
            "gateway.operation": "list_requests",
        },
    )
    begin_span(traces, Origin("::1", 80, ""), request.get_request("id-1", "a"))
    assert traces.begun[1]["url.full"] == f"http://[::1]:80{PREFIX}/requests/id-1"


@pytest.mark.parametrize(
    ("code", "facts", "fault"),
    [
        ("200", {"http.response.status_code": 200}, ""),
        ("404", {"http.response.status_code": 404}, "404"),
        ("upstream_timeout", {}, "upstream_timeout"),
        ("cancelled", {}, "cancelled"),
    ],
)
def test_it_fails_as_http_says_that_a_client_does(code: str, facts: Facts, fault: str) -> None:
    traces = OneSpan()
    question = request.delete_request("id-1", None, "a")
    end_span(begin_span(traces, GMI, question), question, code)
    assert traces.ended == (f"DELETE {PREFIX}/requests/{{id}}", facts, fault)


def test_every_operation_has_its_template() -> None:
    assert set(TEMPLATES) == set(Operation)
