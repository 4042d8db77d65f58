"""What may be asked of upstream: seven operations, paths from constant templates, headers from one list."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import version
from urllib.parse import quote, urlencode

import msgspec

from gateway.core.headers import JSON, Header, Headers
from gateway.upstream.credentials import Access, Secret
from gateway.upstream.outgoing import END, header_lines, request_line

PREFIX = "/api/v1/ie/requestqueue/apikey"
"""The path GMI's API starts with, on both sides of the gateway."""

_REQUEST_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_LONGEST_MODEL_ID = 512
_USER_AGENT = f"gmi-gateway/{version('gmi-gateway')}"


class Operation(StrEnum):
    """A call to upstream, as metrics name it."""

    LIST_MODELS = "list_models"
    GET_MODEL = "get_model"
    CREATE_REQUEST = "create_request"
    GET_REQUEST = "get_request"
    LIST_REQUESTS = "list_requests"
    DELETE_REQUEST = "delete_request"
    UPLOAD_URL = "upload_url"


# A member read through its class costs as much as a call; this is read for every poll.
_GET_REQUEST = Operation.GET_REQUEST

TEMPLATES: Mapping[Operation, str] = {
    Operation.LIST_MODELS: f"{PREFIX}/models",
    Operation.GET_MODEL: f"{PREFIX}/models/{{id}}",
    Operation.CREATE_REQUEST: f"{PREFIX}/requests",
    Operation.GET_REQUEST: f"{PREFIX}/requests/{{id}}",
    Operation.LIST_REQUESTS: f"{PREFIX}/requests",
    Operation.DELETE_REQUEST: f"{PREFIX}/requests/{{id}}",
    Operation.UPLOAD_URL: f"{PREFIX}/upload-url",
}
"""The path of each, as spans name it."""


class Trace(msgspec.Struct, frozen=True):
    """What ties an upstream call to the client's: its request id, and its `traceparent` and `tracestate` if any.

    `span` is the `traceparent` of the client's call where that is recorded here.
    """

    request_id: str
    context: Headers = ()
    span: str | None = None


class Question(msgspec.Struct, frozen=True):
    """One call, before it is known which key it is sent with. `target` is path and query.

    `repeatable` is true of reads, which change nothing if they are asked twice (RFC 9110 §9.2.1). Deletes are asked
    once, like creates. The record that one about a `job` asks for has the job's id in it. It is asked for a `team`,
    where it is one's own.
    """

    __repr__ = object.__repr__

    operation: Operation
    method: str
    target: str
    repeatable: bool = False
    body: bytes | None = None
    trace: Trace | None = None
    job: bytes = b""
    team: str = ""


def list_models(team: str = "") -> Question:
    """`GET …/models`, of no team's own where it fills a cache."""
    return Question(Operation.LIST_MODELS, "GET", f"{PREFIX}/models", repeatable=True, team=team)


def get_model(model: str) -> Question:
    """`GET …/models/{id}`.

    Raises ValueError for an id that cannot be one path segment: `.` and `..` would climb, whatever the encoding.
    """
    if model in ("", ".", "..") or len(model) > _LONGEST_MODEL_ID:
        raise ValueError("not a model id")
    return Question(Operation.GET_MODEL, "GET", f"{PREFIX}/models/{quote(model, safe='')}", repeatable=True)


def create_request(body: bytes, trace: Trace | None, team: str) -> Question:
    """`POST …/requests` with these bytes."""
    return Question(Operation.CREATE_REQUEST, "POST", f"{PREFIX}/requests", body=body, trace=trace, team=team)


def get_request(request_id: str, team: str) -> Question:
    """`GET …/requests/{id}`. Raises ValueError for what can be no id."""
    target = f"{PREFIX}/requests/{_checked(request_id)}"
    return Question(_GET_REQUEST, "GET", target, repeatable=True, job=request_id.encode(), team=team)


def list_requests(model: str | None, limit: int, offset: int) -> Question:
    """`GET …/requests`: the organisation's requests, newest first, of one model or (None) of all."""
    parameters: dict[str, str | int] = {"limit": limit, "offset": offset}
    if model is not None:
        parameters["model_id"] = model
    target = f"{PREFIX}/requests?{urlencode(parameters, quote_via=quote)}"
    return Question(Operation.LIST_REQUESTS, "GET", target, repeatable=True)


def delete_request(request_id: str, trace: Trace | None, team: str) -> Question:
    """`DELETE …/requests/{id}`. Raises ValueError for what can be no id."""
    target = f"{PREFIX}/requests/{_checked(request_id)}"
    return Question(Operation.DELETE_REQUEST, "DELETE", target, trace=trace, team=team)


def upload_url(body: bytes, trace: Trace | None, team: str) -> Question:
    """`POST …/upload-url` with these bytes."""
    return Question(Operation.UPLOAD_URL, "POST", f"{PREFIX}/upload-url", body=body, trace=trace, team=team)


def valid_request_id(text: str) -> bool:
    """Whether `text` may stand in a path as a request id. GMI's are UUIDs; nothing that could be a path passes."""
    return _REQUEST_ID.fullmatch(text) is not None


def _checked(request_id: str) -> str:
    if not valid_request_id(request_id):
        raise ValueError("not a request id")
    return request_id


def head_of(question: Question, host: str, key: Secret, access: Access, context: Headers = ()) -> bytes:
    """The call up to its body: every header it carries, and no other, nothing of the client's but its trace.

    `context` is the trace context of the call's own span, in place of the client's.
    Raises UnsupportedProtocol for a trace that is no header.
    """
    line = request_line(question.method, question.target.encode("ascii"))
    lines = _lines_of_all(host, key.text, access.organization.text if access.organization is not None else None)
    if question.body is None and question.trace is None and not context:
        return line + lines
    own: list[Header] = []
    if question.body is not None:
        own += [JSON, (b"content-length", b"%d" % len(question.body))]
    if question.trace is not None:
        own += [*(context or question.trace.context), (b"x-request-id", question.trace.request_id.encode())]
    else:
        own += context
    return line + lines[: -len(END)] + header_lines(own)


@lru_cache(maxsize=64)
def _lines_of_all(host: str, key: str, organization: str | None) -> bytes:
    """The headers every call with one key carries, and the end."""
    headers = [
        (b"host", host.encode()),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", _USER_AGENT.encode()),
        (b"authorization", b"Bearer " + key.encode()),
    ]
    if organization is not None:
        headers.append((b"x-organization-id", organization.encode()))
    return header_lines(headers)
