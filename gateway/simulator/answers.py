"""The forms answers take: JSON, `{"error": "<string>"}`, an edge's HTML, and a connection that dies."""

import json
import socket
import struct
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.simulator.faults import Kind

RATE_LIMIT = {"limit_type": "RPM", "limit": 2, "interval_seconds": 60, "retry_after_ms": 29970}

ERRORS = {
    Kind.UNAUTHORIZED: (401, "invalid API key"),
    Kind.NO_CREDIT: (402, "Insufficient credits. Please add more credits to your account."),
    Kind.FORBIDDEN: (403, "this key may not use the organization"),
    Kind.BACKEND_ERROR: (500, "Backend error (400): the vendor refused the request"),
    Kind.NO_CAPACITY: (503, "Upstream capacity temporarily exhausted"),
}


class JsonAnswer(Response):
    """Compact JSON as upstream writes it; text that is not Unicode is replaced."""

    media_type = "application/json; charset=utf-8"

    def render(self, content: Any) -> bytes:
        """The body's bytes."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace")


class Refusal(Exception):  # noqa: N818 - an answer, raised to be given from any depth
    """`{"error": "<string>"}` with its status and perhaps sibling keys."""

    def __init__(self, status: int, error: str, **siblings: Any) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **siblings}


class ConnectionReset(Response):
    """No answer at all: a TCP reset, as when a load balancer dies."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Reset the connection and return once it is gone."""
        transport = scope["state"]["transport"]
        # Lingering for 0 s makes the close a reset (RST) where it would be an orderly end (FIN).
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def edge_page(status: int, title: str) -> Response:
    """An HTML page of the network in front of upstream."""
    page = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body></body>\r\n</html>\r\n"
    return HTMLResponse(page, status)


def failure(kind: Kind, model_id: str | None = None) -> Response:
    """The answer of a call that failed this way; the rate limit's text names the model if there is one."""
    match kind:
        case Kind.RESET_BEFORE | Kind.RESET_AFTER:
            return ConnectionReset()
        case Kind.HTML:
            return edge_page(502, "Bad Gateway")
        case Kind.EDGE_TIMEOUT:
            return edge_page(504, "Gateway Time-out")
        case Kind.RATE_LIMITED:
            subject = "" if model_id is None else f" for model {model_id}"
            text = f"Rate limit exceeded{subject}: 2 requests per 60 seconds. Retry in 29970 ms."
            return JsonAnswer({"error": text, "rate_limit": RATE_LIMIT}, 429)
        case _:
            status, error = ERRORS[kind]
            return JsonAnswer({"error": error}, status)
