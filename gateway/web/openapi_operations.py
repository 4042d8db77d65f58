"""What each route of the public listener is described as. The routes themselves are those of the route table."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.errors import Code
from gateway.web.query import DEFAULT_PAGE, LARGEST_OFFSET, LARGEST_PAGE

JSON_TYPE = "application/json"

KEYED = (
    Code.INVALID_REQUEST,
    Code.KEY_MISSING,
    Code.KEY_INVALID,
    Code.KEY_EXPIRED,
    Code.RATE_LIMITED,
    Code.LEDGER_UNAVAILABLE,
)
"""What any call with a key may be refused with."""

ANY = (
    Code.INVALID_REQUEST,
    Code.UNKNOWN_ROUTE,
    Code.METHOD_NOT_ALLOWED,
    Code.REQUEST_TIMEOUT,
    Code.URI_TOO_LONG,
    Code.HEADERS_TOO_LARGE,
    Code.INTERNAL_ERROR,
    Code.OVERLOADED,
    Code.DRAINING,
)
"""What any call at all may be refused with; with `draining` none is yet."""

UPSTREAM = (
    Code.UPSTREAM_UNREACHABLE,
    Code.UPSTREAM_INVALID,
    Code.UPSTREAM_CREDENTIALS_REJECTED,
    Code.UPSTREAM_CIRCUIT_OPEN,
    Code.UPSTREAM_TIMEOUT,
)
"""What a call that GMI answers may be refused with."""

BODY = (Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.OVERLOADED)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route.

    `answer` is the schema of a 200 with JSON, or None; then `media_type` says what else it is. `codes` are the
    refusals besides those of any call. `parameters` and `body` are named as in the document's components. One that is
    `kept` has an `ETag`, one that `may_be_empty` a 204, and one that `asks_upstream` may also get GMI's own errors.
    One that `takes_file` has any bytes for its body.
    """

    summary: str
    answer: str | None = None
    media_type: str = JSON_TYPE
    codes: tuple[Code, ...] = ()
    parameters: tuple[str, ...] = ()
    body: str | None = None
    kept: bool = False
    may_be_empty: bool = False
    asks_upstream: bool = False
    takes_file: bool = False

    @property
    def all_codes(self) -> tuple[Code, ...]:
        """Its refusals, with those of its kind."""
        return (*self.codes, *(UPSTREAM if self.asks_upstream else ()), *(BODY if self.body else ()))


_DECIDED = (
    Code.PAYLOAD_REJECTED,
    Code.MODEL_NOT_ALLOWED,
    Code.PRICE_UNKNOWN,
    Code.BUDGET_EXCEEDED,
    Code.QUOTA_EXCEEDED,
    Code.CONCURRENCY_EXCEEDED,
)
_REPEATED = (Code.IDEMPOTENCY_IN_PROGRESS, Code.IDEMPOTENCY_MISMATCH, Code.OUTCOME_UNKNOWN)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("/models", "GET"): Operation(
        "The models your team may use.",
        "Models",
        codes=(Code.SCOPE_DENIED,),
        parameters=("IfNoneMatch",),
        kept=True,
        asks_upstream=True,
    ),
    ("/models/{id}", "GET"): Operation(
        "One model, as GMI describes it: parameters and list price.",
        "Model",
        codes=(Code.SCOPE_DENIED, Code.MODEL_NOT_ALLOWED, Code.MODEL_NOT_FOUND),
        parameters=("ModelId", "IfNoneMatch"),
        kept=True,
        asks_upstream=True,
    ),
    ("/requests", "GET"): Operation(
        "Your team's jobs of the last 30 days, newest first.",
        "Records",
        codes=(Code.SCOPE_DENIED,),
        parameters=("ModelFilter", "Limit", "Offset"),
    ),
    ("/requests", "POST"): Operation(
        "Create a job. What it costs is reserved before GMI is called.",
        "Record",
        codes=(Code.SCOPE_DENIED, *_DECIDED, *_REPEATED),
        parameters=("IdempotencyKey", "Prefer", "Webhook", "TraceParent", "TraceState"),
        body="Create",
        asks_upstream=True,
    ),
    ("/requests/{id}", "GET"): Operation(
        "One of your team's jobs, never older than a second.",
        "Record",
        codes=(Code.SCOPE_DENIED, Code.REQUEST_NOT_FOUND, Code.CONCURRENCY_EXCEEDED),
        parameters=("RequestId", "Prefer", "IfNoneMatch"),
        kept=True,
        asks_upstream=True,
    ),
    ("/requests/{id}", "DELETE"): Operation(
        "Passed on to GMI, for one of your team's jobs.",
        codes=(Code.SCOPE_DENIED, Code.REQUEST_NOT_FOUND),
        parameters=("RequestId",),
        asks_upstream=True,
    ),
    ("/upload-url", "POST"): Operation(
        "A URL to upload one file to.",
        "UploadURL",
        codes=(Code.SCOPE_DENIED, Code.FILE_TYPE_NOT_ALLOWED, Code.QUOTA_EXCEEDED),
        parameters=("TraceParent", "TraceState"),
        body="Upload",
        asks_upstream=True,
    ),
    ("/gateway/v1/requests/{id}/events", "GET"): Operation(
        "One of your team's jobs as server-sent events, one at each change, to its end.",
        media_type="text/event-stream",
        codes=(Code.SCOPE_DENIED, Code.REQUEST_NOT_FOUND, Code.CONCURRENCY_EXCEEDED),
        parameters=("RequestId", "LastEventId"),
        may_be_empty=True,
        asks_upstream=True,
    ),
    ("/gateway/v1/requests/{id}/artifacts", "GET"): Operation(
        "The files of one of your team's finished jobs.",
        "Artifacts",
        codes=(Code.SCOPE_DENIED, Code.REQUEST_NOT_FOUND),
        parameters=("RequestId",),
        asks_upstream=True,
    ),
    ("/gateway/v1/requests/{id}/artifacts/{name}", "GET"): Operation(
        "One of those files, whole or the one `Range` that is asked for.",
        media_type="*/*",
        codes=(Code.SCOPE_DENIED, Code.REQUEST_NOT_FOUND),
        parameters=("RequestId", "ArtifactName"),
        asks_upstream=True,
    ),
    ("/gateway/v1/uploads/{token}", "PUT"): Operation(
        "One file, at the URL that `POST …/upload-url` gave.",
        media_type="*/*",
        codes=BODY,
        parameters=("UploadToken",),
        takes_file=True,
        asks_upstream=True,
    ),
    ("/gateway/v1/usage", "GET"): Operation("What your limits have left, and your month so far.", "Usage"),
    ("/gateway/v1/explain", "POST"): Operation(
        "What would become of a create, rule by rule. Nothing is charged.",
        "Explanation",
        codes=(Code.SCOPE_DENIED,),
        body="Create",
    ),
    ("/gateway/v1/openapi.json", "GET"): Operation("This document.", kept=True, parameters=("IfNoneMatch",)),
    ("/gateway/", "GET"): Operation(
        "A page for a team that holds a key.", media_type="text/html", kept=True, parameters=("IfNoneMatch",)
    ),
    ("/gateway/page.css", "GET"): Operation(
        "The page's style.", media_type="text/css", kept=True, parameters=("IfNoneMatch",)
    ),
    ("/gateway/page.js", "GET"): Operation(
        "A script of the page.", media_type="text/javascript", kept=True, parameters=("IfNoneMatch",)
    ),
    ("/gateway/thumbnails.js", "GET"): Operation(
        "A script of the page.", media_type="text/javascript", kept=True, parameters=("IfNoneMatch",)
    ),
    ("/gateway/team.js", "GET"): Operation(
        "A script of the page.", media_type="text/javascript", kept=True, parameters=("IfNoneMatch",)
    ),
}
"""By a route's label and method. HEAD is described as its GET."""

EXAMPLES: Mapping[str, object] = {
    "Create": {"model": "Veo3", "payload": {"prompt": "a lighthouse at dawn"}},
    "Upload": {"file_type": "png"},
}
"""Of every body."""

PARAMETERS = {
    "ModelId": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "A model's id as the listing writes it, percent-encoded.",
        "schema": {"type": "string", "minLength": 1},
    },
    "RequestId": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The `request_id` of a job.",
        "schema": {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$"},
    },
    "ArtifactName": {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "A name from the list of artifacts.",
        "schema": {"type": "string", "minLength": 1},
    },
    "UploadToken": {
        "name": "token",
        "in": "path",
        "required": True,
        "description": "The last part of the URL that was given for the file.",
        "schema": {"type": "string", "minLength": 1},
    },
    "ModelFilter": {
        "name": "model_id",
        "in": "query",
        "description": "Jobs of this model alone; 400 for what can be no model's id.",
        "schema": {"type": "string"},
    },
    "Limit": {
        "name": "limit",
        "in": "query",
        "description": "At most so many jobs; fewer where their records are large.",
        "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE},
    },
    "Offset": {
        "name": "offset",
        "in": "query",
        "description": "How many to leave out.",
        "schema": {"type": "integer", "minimum": 0, "maximum": LARGEST_OFFSET, "default": 0},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` you have: 304 if nothing changed.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Repeating a create with the same key and body gets the first answer and pays nothing.",
        "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: answer when the job has ended, or after N seconds (1 to 300).",
        "schema": {"type": "string"},
    },
    "Webhook": {
        "name": "X-Gateway-Webhook",
        "in": "header",
        "description": "An https URL, on a host your team may report to, that is told how the job ended.",
        "schema": {"type": "string"},
    },
    "LastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event you have: only what is new is told.",
        "schema": {"type": "string"},
    },
    "TraceParent": {
        "name": "traceparent",
        "in": "header",
        "description": "Your W3C trace, passed on to GMI; one that is malformed is replaced.",
        "schema": {"type": "string"},
    },
    "TraceState": {
        "name": "tracestate",
        "in": "header",
        "description": "Passed on with a valid `traceparent`.",
        "schema": {"type": "string"},
    },
}
