"""A receiver of traces: OTLP over HTTP (opentelemetry-proto, `collector/trace/v1`), on a loopback port."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Value = str | int | float

SERVER = trace_pb2.Span.SPAN_KIND_SERVER
CLIENT = trace_pb2.Span.SPAN_KIND_CLIENT
INTERNAL = trace_pb2.Span.SPAN_KIND_INTERNAL


@dataclass(frozen=True)
class Span:
    """A span as it was exported; ids in hexadecimal, times in seconds. `parent` is empty for a root."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    facts: dict[str, Value]
    links: list[str]
    failed: bool
    started: float
    ended: float


@dataclass
class TraceReceiver:
    """What arrived. While `status` is none the receiver takes requests and answers nothing."""

    url: str
    status: int | None = 200
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Value]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    raw: bytes = b""
    over: threading.Event = field(default_factory=threading.Event)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        self.headers.append(headers)
        self.raw += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_facts_of(group.resource.attributes))
            self.spans += [_read(span) for scope in group.scope_spans for span in scope.spans]


def _facts_of(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in attributes}


def _read(span: trace_pb2.Span) -> Span:
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=span.kind,
        facts=_facts_of(span.attributes),
        links=[link.span_id.hex() for link in span.links],
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        started=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
    )


@contextmanager
def trace_receiver() -> Iterator[TraceReceiver]:
    """One that listens until the block ends."""
    receiver: TraceReceiver

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if receiver.status is None:
                receiver.over.wait()
                return
            if receiver.status == 200:
                receiver.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The test says what matters."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver = TraceReceiver(f"http://127.0.0.1:{server.server_port}")
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            serving.join()
