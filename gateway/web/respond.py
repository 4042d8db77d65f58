"""Answers, and the only place where an error of the gateway's own becomes bytes (`Proxy-Status`: RFC 9209)."""

import secrets
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import FACTS, Code, Quota, Refusal
from gateway.core.headers import CLOSE, JSON, Header, Headers
from gateway.core.money import usd_number
from gateway.core.policy import Unit
from gateway.core.wording import rfc3339

_NAME = b"gmi-gateway"
_NO_STORE = (b"cache-control", b"no-store")
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Stream(NamedTuple):
    """A body that comes part by part, each one asked for when the client has taken the one before.

    `parts` is closed when it has ended, when the client has left, or `seconds` after it began. It is not closed before
    it began, so whatever it needs it opens itself. A body that breaks off, or is out of time, is visibly short.
    """

    parts: AsyncGenerator[bytes, None]
    seconds: float


class Reply(msgspec.Struct, frozen=True):
    """An answer. `code` and `message` are an error's, for metrics and log; empty where upstream answered.

    The body is `body`, or comes from `stream`; whose length, if it is known, is among the headers.
    """

    status: int
    body: bytes
    headers: Headers = ()
    code: str = ""
    message: str = ""
    stream: Stream | None = None

    def adding(self, *headers: Header) -> "Reply":
        """The same answer with more headers."""
        return Reply(self.status, self.body, self.headers + headers, self.code, self.message, self.stream)


def json_reply(value: Any, *headers: Header) -> Reply:
    """200 with a JSON value that is nobody else's business and no cache's either."""
    return Reply(200, _encode(value), (JSON, _NO_STORE, *headers))


def amount_of(value: int, unit: Unit | str) -> int | Decimal:
    """An amount as it is shown: USD as a number of dollars, everything else as it is counted."""
    return usd_number(value) if unit == Unit.USD else value


def error_reply(refusal: Refusal, request_id: str) -> Reply:
    """The error's body, its `Proxy-Status`, and the headers the status calls for."""
    facts = FACTS[refusal.code]
    body: dict[str, Any] = {"error": refusal.message, "code": refusal.code.value, "request_id": request_id}
    if refusal.rate_limit is not None:
        body["rate_limit"] = refusal.rate_limit
    if refusal.quota is not None:
        body["quota"] = _quota_body(refusal.quota)
    body.update(refusal.siblings)
    headers: list[Header] = [
        JSON,
        _NO_STORE,
        (b"proxy-status", b"%s; error=%s" % (_NAME, facts.proxy_error.encode())),
    ]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    if refusal.close:
        headers.append(CLOSE)
    return Reply(refusal.status, _encode(body), (*headers, *refusal.headers), refusal.code.value, refusal.message)


def _quota_body(quota: Quota) -> dict[str, Any]:
    return {
        "name": quota.name,
        "limit": amount_of(quota.limit, quota.unit),
        "used": amount_of(quota.used, quota.unit),
        "unit": quota.unit,
        "resets_at": None if quota.resets_at is None else rfc3339(quota.resets_at),
    }


def render_refusal(code: str, message: str) -> tuple[int, list[Header], bytes]:
    """The same error for a request so malformed that it never became a call."""
    request_id = secrets.token_hex(16)
    reply = error_reply(Refusal(Code(code), message), request_id)
    return reply.status, [*reply.headers, (b"x-request-id", request_id.encode())], reply.body
