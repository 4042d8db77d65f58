"""How the admin listener answers: JSON that no cache keeps, and the public listener's error shape."""

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.web.respond import Reply, error_reply, json_reply

FORBIDDEN = "forbidden"
NOT_FOUND = "not_found"
POLICIES_REFUSED = "policies_refused"
"""The codes of errors that only this listener makes; all others are `Code`'s."""


def gateway_of(request: Request) -> Gateway:
    """The gateway this listener belongs to."""
    return cast("Gateway", request.app.state.gw)


def request_id_of(request: Request) -> str:
    """The call's id, which the guard gave it."""
    return cast("str", request.state.request_id)


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON value, kept by no cache."""
    reply = json_reply(value)
    return as_response(Reply(status, reply.body, reply.headers))


def error_response(status: int, code: str, message: str, request_id: str, **siblings: Any) -> Response:
    """The usual error body for a code that only this listener has."""
    return json_response({"error": message, "code": code, "request_id": request_id, **siblings}, status)


def refusal_response(refusal: Refusal, request_id: str) -> Response:
    """The same answer the public listener would give."""
    return as_response(error_reply(refusal, request_id))


def as_response(reply: Reply) -> Response:
    """A whole answer as Starlette sends it."""
    response = Response(reply.body, reply.status)
    response.raw_headers.extend(reply.headers)
    return response


def read_query(request: Request, *names: str) -> dict[str, str]:
    """The query's parameters: only these, each at most once and not empty. Refusal 400 otherwise."""
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names:
            known = f"{', '.join(f'`{each}`' for each in names)} and nothing else" if names else "no parameters"
            raise Refusal(Code.INVALID_REQUEST, f"This page takes {known}.")
        if name in values or not value:
            raise Refusal(Code.INVALID_REQUEST, f"`{name}` may stand once, with a value.")
        values[name] = value
    return values
