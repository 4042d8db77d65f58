"""`GET /gateway/v1/openapi.json`: OpenAPI 3.1 of the public listener, made of the tables the code uses.

Which routes there are comes from the route table, what they are refused with from `FACTS`, what parameters may be from
the constants that check them. It is open to everybody, as tools expect; it says nothing of this gateway but its public
URL, where that is set.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.errors import FACTS, Code
from gateway.upstream.request import PREFIX
from gateway.web.openapi_operations import ANY, EXAMPLES, JSON_TYPE, KEYED, OPERATIONS, PARAMETERS, Operation
from gateway.web.openapi_schemas import reference, schemas
from gateway.web.routes import Route

_OUTCOME_UNKNOWN_AGAIN = 409
_HEADERS: Mapping[str, tuple[str, str]] = {
    "XRequestID": ("X-Request-ID", "The call's id: tell it to your platform team when you ask about one."),
    "RetryAfter": ("Retry-After", "Seconds to wait."),
    "WWWAuthenticate": ("WWW-Authenticate", "`Bearer`."),
    "Allow": ("Allow", "The methods there are."),
    "ProxyStatus": ("Proxy-Status", "The kind of a refusal of the gateway's own (RFC 9209)."),
    "ETag": ("ETag", "For `If-None-Match`."),
    "RateLimit": ("RateLimit", "What is left of your limits (IETF draft)."),
    "RateLimitPolicy": ("RateLimit-Policy", "Which limits those are."),
    "CacheStatus": ("Cache-Status", "Whether GMI was asked for this answer (RFC 9211)."),
    "Age": ("Age", "How many seconds old it is."),
    "PreferenceApplied": ("Preference-Applied", "What was taken of `Prefer`."),
    "IdempotencyReplayed": ("Idempotency-Replayed", "`true`: this is the first answer again."),
    "ServerTiming": ("Server-Timing", "Milliseconds that GMI took, and the gateway."),
}
"""By the name of the component: the header, and what it says."""

_WITH_STATUS = {401: "WWWAuthenticate", 405: "Allow", 429: "RetryAfter", 503: "RetryAfter"}
_ALWAYS = frozenset(("XRequestID", "WWWAuthenticate", "Allow"))


def document(routes: Iterable[Route], public_url: str) -> dict[str, Any]:
    """The whole document. Raises KeyError for a route that nobody described."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gmi-gateway",
            "version": "1",
            "summary": "GMI Cloud's request queue under team keys, and what the gateway adds.",
            "description": "Answers are GMI's. An error with a `code` is the gateway's own.",
        },
        "servers": [{"url": public_url or "/"}],
        "security": [{"teamKey": []}],
        "paths": {path_of(route): _path_item(route) for route in routes},
        "components": {
            "securitySchemes": {"teamKey": {"type": "http", "scheme": "bearer", "description": "A team key."}},
            "parameters": PARAMETERS,
            "headers": {
                name: {"description": text, "required": name in _ALWAYS, "schema": {"type": "string"}}
                for name, (_, text) in _HEADERS.items()
            },
            "schemas": schemas(),
        },
    }


def path_of(route: Route) -> str:
    """The route's path as a template. GMI's own calls are labelled by what follows their prefix."""
    return route.label if route.label.startswith("/gateway/") else PREFIX + route.label


def _path_item(route: Route) -> dict[str, Any]:
    return {
        name.lower(): _operation(route, name, OPERATIONS[route.label, "GET" if name == "HEAD" else name])
        for name in route.methods
    }


def _operation(route: Route, method: str, described: Operation) -> dict[str, Any]:
    scope = route.methods[method].scope
    needs = "Needs no key." if route.is_open else "Any key will do." if scope is None else f"Needs the scope `{scope}`."
    if route.admit is not None:
        needs = f"Needs no key; the one that got the URL needs the scope `{scope}`."
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()} {route.label}",
        "summary": described.summary,
        "description": needs,
        "tags": ["gateway" if route.label.startswith("/gateway/") else "GMI"],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in described.parameters],
        "responses": _responses(route, described, with_body=method != "HEAD"),
    }
    if _is_keyless(route):
        operation["security"] = []
    if described.body is not None:
        content = {JSON_TYPE: {"schema": reference(described.body), "example": EXAMPLES[described.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    if described.takes_file:
        operation["requestBody"] = {"required": True, "content": {"*/*": {}}}
    return operation


def _is_keyless(route: Route) -> bool:
    """Whether it asks for no team key: it is open, or its path holds a token that takes the key's place."""
    return route.is_open or route.admit is not None


def _responses(route: Route, described: Operation, *, with_body: bool) -> dict[str, Any]:
    content = {described.media_type: {"schema": reference(described.answer) if described.answer else {}}}
    names = ["XRequestID", "ServerTiming"]
    names += [] if _is_keyless(route) else ["RateLimit", "RateLimitPolicy"]
    names += ["ETag"] if described.kept else []
    names += ["CacheStatus", "Age"] if described.kept and not route.is_open else []
    names += ["PreferenceApplied"] if "Prefer" in described.parameters else []
    names += ["IdempotencyReplayed"] if "IdempotencyKey" in described.parameters else []
    responses: dict[str, Any] = {"200": _response("Well.", names, content if with_body else None)}
    if described.may_be_empty:
        responses["204"] = _response("There is nothing new to tell, for ever.", names, None)
    if described.kept:
        responses["304"] = _response("You have it.", names, None)
    codes = (*described.all_codes, *ANY, *(() if _is_keyless(route) else KEYED))
    error = {JSON_TYPE: {"schema": reference("Error")}} if with_body else None
    for status, reasons in _by_status(codes).items():
        names = ["XRequestID", "ProxyStatus", *([_WITH_STATUS[status]] if status in _WITH_STATUS else [])]
        responses[str(status)] = _response(" ".join(reasons), names, error)
    if described.asks_upstream:
        responses["default"] = _response("GMI's own answer, as it came.", ["XRequestID"], error)
    return responses


def _by_status(codes: Iterable[Code]) -> dict[int, list[str]]:
    """A sentence for each code, by status; the one code that has two stands under both."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        sentence = f"`{code}`: {FACTS[code].meaning}"
        found[FACTS[code].status].append(sentence)
        if code is Code.OUTCOME_UNKNOWN:
            found[_OUTCOME_UNKNOWN_AGAIN].append(sentence)
    return dict(sorted(found.items()))


def _response(description: str, headers: Iterable[str], content: Any) -> dict[str, Any]:
    named = {_HEADERS[name][0]: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {"description": description, "headers": named} | ({} if content is None else {"content": content})
