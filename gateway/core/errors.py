"""Every refusal the gateway makes itself: one code, one status, one sentence of meaning.

The table below is the source of the error bodies, of the metric label `reason`, and of the documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from gateway.core.headers import Headers


class Code(StrEnum):
    """An error code as clients see it in the body's `code`. Its value is the wire form."""

    INVALID_REQUEST = "invalid_request"
    PAYLOAD_REJECTED = "payload_rejected"
    KEY_MISSING = "key_missing"
    KEY_INVALID = "key_invalid"
    KEY_EXPIRED = "key_expired"
    BUDGET_EXCEEDED = "budget_exceeded"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    SCOPE_DENIED = "scope_denied"
    FILE_TYPE_NOT_ALLOWED = "file_type_not_allowed"
    PRICE_UNKNOWN = "price_unknown"
    UNKNOWN_ROUTE = "unknown_route"
    REQUEST_NOT_FOUND = "request_not_found"
    MODEL_NOT_FOUND = "model_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    BODY_TOO_LARGE = "body_too_large"
    URI_TOO_LONG = "uri_too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    HEADERS_TOO_LARGE = "headers_too_large"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    CONCURRENCY_EXCEEDED = "concurrency_exceeded"
    INTERNAL_ERROR = "internal_error"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_INVALID = "upstream_invalid"
    UPSTREAM_CREDENTIALS_REJECTED = "upstream_credentials_rejected"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    UPSTREAM_CIRCUIT_OPEN = "upstream_circuit_open"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What is fixed about a code.

    `status` is the HTTP status; `proxy_error` the RFC 9209 §2.3 error type written to `Proxy-Status`;
    `meaning` one sentence for the documentation.
    """

    status: int
    proxy_error: str
    meaning: str


_DENIED = "http_request_denied"
_BAD = "http_request_error"

FACTS: Mapping[Code, CodeFacts] = {
    Code.INVALID_REQUEST: CodeFacts(400, _BAD, "The request is malformed; the message names the part."),
    Code.PAYLOAD_REJECTED: CodeFacts(400, _DENIED, "A payload rule or a required parameter is not met."),
    Code.KEY_MISSING: CodeFacts(401, _DENIED, "No team key was sent as `Authorization: Bearer`."),
    Code.KEY_INVALID: CodeFacts(401, _DENIED, "The key sent is not a team key of this gateway."),
    Code.KEY_EXPIRED: CodeFacts(401, _DENIED, "The key sent has expired."),
    Code.BUDGET_EXCEEDED: CodeFacts(402, _DENIED, "The job's price does not fit in what a budget has left."),
    Code.MODEL_NOT_ALLOWED: CodeFacts(403, _DENIED, "The team's policy does not allow this model."),
    Code.SCOPE_DENIED: CodeFacts(403, _DENIED, "The key's scopes do not cover this call."),
    Code.FILE_TYPE_NOT_ALLOWED: CodeFacts(403, _DENIED, "The team may not upload this file type."),
    Code.PRICE_UNKNOWN: CodeFacts(403, _DENIED, "A team with a budget asked for a job without a known price."),
    Code.UNKNOWN_ROUTE: CodeFacts(404, _BAD, "The gateway has no such path; nothing was forwarded."),
    Code.REQUEST_NOT_FOUND: CodeFacts(404, _DENIED, "The team has no job with this id."),
    Code.MODEL_NOT_FOUND: CodeFacts(404, _DENIED, "Upstream's catalogue has no such model."),
    Code.METHOD_NOT_ALLOWED: CodeFacts(405, _BAD, "The path exists with the methods named in `Allow`."),
    Code.REQUEST_TIMEOUT: CodeFacts(408, _BAD, "The request did not arrive in time."),
    Code.BODY_TOO_LARGE: CodeFacts(413, _BAD, "The body is larger than `GATEWAY_MAX_BODY`, or a file than `max_size`."),
    Code.URI_TOO_LONG: CodeFacts(414, _BAD, "The request target is longer than 8 KiB."),
    Code.UNSUPPORTED_MEDIA_TYPE: CodeFacts(
        415, _BAD, "The body is not what this call takes: plain, unencoded JSON, or the file type that was signed."
    ),
    Code.HEADERS_TOO_LARGE: CodeFacts(431, _BAD, "More than 100 header fields or 32 KiB of them."),
    Code.IDEMPOTENCY_IN_PROGRESS: CodeFacts(409, _DENIED, "The first create with this key is still running."),
    Code.IDEMPOTENCY_MISMATCH: CodeFacts(422, _DENIED, "The idempotency key was used with another body."),
    Code.RATE_LIMITED: CodeFacts(429, _DENIED, "A request rate is used up for this window."),
    Code.QUOTA_EXCEEDED: CodeFacts(429, _DENIED, "A count of jobs, seconds or uploads is used up."),
    Code.CONCURRENCY_EXCEEDED: CodeFacts(429, _DENIED, "As many jobs as allowed are running, or calls waiting."),
    Code.INTERNAL_ERROR: CodeFacts(500, "proxy_internal_error", "A fault of the gateway; it is logged."),
    Code.UPSTREAM_UNREACHABLE: CodeFacts(502, "destination_unavailable", "No connection to upstream."),
    Code.UPSTREAM_INVALID: CodeFacts(502, "http_protocol_error", "Upstream's answer cannot be trusted."),
    Code.UPSTREAM_CREDENTIALS_REJECTED: CodeFacts(
        502, "http_request_denied", "Upstream refused the gateway's own credential."
    ),
    Code.LEDGER_UNAVAILABLE: CodeFacts(503, "proxy_internal_error", "The ledger cannot be read or written."),
    Code.OVERLOADED: CodeFacts(503, "connection_limit_reached", "Too many calls are in flight, or of your team."),
    Code.DRAINING: CodeFacts(503, "proxy_internal_response", "Reserved: no answer has it at present."),
    Code.UPSTREAM_CIRCUIT_OPEN: CodeFacts(
        503, "destination_unavailable", "Upstream failed repeatedly and is being spared."
    ),
    Code.UPSTREAM_TIMEOUT: CodeFacts(504, "http_response_timeout", "Upstream did not answer in time."),
    Code.OUTCOME_UNKNOWN: CodeFacts(
        504, "http_response_timeout", "The create may or may not have happened; it is being looked up."
    ),
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Upstream's own sibling of a 429 body, `rate_limit`, as GMI writes it.

    `interval_seconds` is 0 for a limit without a window (jobs at once).
    """

    limit_type: str
    limit: int | Decimal
    interval_seconds: int
    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Quota:
    """The gateway's sibling `quota`: which limit refused. Amounts of unit USD are micro-USD in here."""

    name: str
    limit: int
    used: int
    unit: str
    resets_at: float | None


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """The answer is an error made by the gateway.

    `message` is one sentence the caller can act on. `retry_after` is in seconds. `siblings` are further
    fields of the error body. `used` is what is used of a limit that refused, by counter. `status` overrides
    the table's for the one code that has two (`outcome_unknown` is 409 when a repeat asks again).
    """

    code: Code
    message: str
    retry_after: int | None = None
    rate_limit: RateLimit | None = None
    quota: Quota | None = None
    siblings: Mapping[str, object] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    headers: Headers = ()
    status: int = 0
    close: bool = False

    def __post_init__(self) -> None:
        self.status = self.status or FACTS[self.code].status
        super().__init__(self.message)
