"""Who may see the admin pages: the holder of the admin token, or, while none is set, this machine alone.

Programs send the token; a browser may show it once and has a session then (`gateway.web.admin.session`). A browser on
this machine is a way in for every page it shows. So without a token the Host must be a loopback name (against DNS
rebinding), and what changes something is refused when another site asks for it. With a session the browser must even
say that it was these pages that asked.
"""

import ipaddress
import secrets
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.core.errors import Code, Refusal
from gateway.settings import Settings
from gateway.web.admin.answers import FORBIDDEN, error_response, refusal_response
from gateway.web.admin.page import page
from gateway.web.admin.session import COOKIE, PATH, sign_in_page
from gateway.web.admin.token import AdminToken
from gateway.web.auth import client_address
from gateway.web.tracing import request_id_of

OPEN = frozenset(("/metrics", "/healthz", "/readyz"))
"""Paths that probes and Prometheus read without a token; what they tell is no secret."""

FILES = "/files/"
"""Below it are the style and scripts of the pages, the same for everybody."""

_HARMLESS = frozenset(("GET", "HEAD"))
_FORWARDED = frozenset((b"forwarded", b"x-forwarded-for", b"x-real-ip"))
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")

Headers = list[tuple[bytes, bytes]]


class Guard:
    """Pure ASGI middleware around the admin app. It also gives every call its id."""

    def __init__(self, app: ASGIApp, settings: Settings, now: Callable[[], float]) -> None:
        self._app = app
        self._now = now
        self._token = AdminToken(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer 401 or 403."""
        headers: Headers = scope["headers"]
        request_id = request_id_of(_values(headers, b"x-request-id"), secrets.token_hex(16))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_marked(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = (header for header in message["headers"] if header != _NO_SNIFFING)  # pages say it themselves
                message["headers"] = [*kept, _NO_SNIFFING, (b"x-request-id", request_id.encode())]
            await send(message)

        is_open = scope["path"] in OPEN or scope["path"].startswith(FILES)
        refused = None if is_open else await self._refuse(scope, headers, request_id)
        await (refused or self._app)(scope, receive, send_marked)

    async def _refuse(self, scope: Scope, headers: Headers, request_id: str) -> Response | None:
        """The answer to one who may not come in, None to one who may."""
        if scope["method"] not in _HARMLESS and _comes_from_elsewhere(headers):
            return error_response(403, FORBIDDEN, "Another site's page may not ask for this.", request_id)
        if self._token.required:
            return None if scope["path"] == PATH else await self._refuse_stranger(scope, headers, request_id)
        if not _is_local(scope, headers):
            message = "Without an admin token these pages answer this machine alone; set GATEWAY_ADMIN_TOKEN."
            if _is_for_people(scope, headers):
                values = {"title": "Not from here", "message": message, "signed_in": False}
                return await page("notice.html", values, 403)
            return error_response(403, FORBIDDEN, message, request_id)
        return None

    async def _refuse_stranger(self, scope: Scope, headers: Headers, request_id: str) -> Response | None:
        """The answer to one who shows neither the token nor a session of it."""
        if not _values(headers, b"authorization") and self._has_session(headers):
            if scope["method"] in _HARMLESS or _comes_from_here(headers):
                return None
            return error_response(403, FORBIDDEN, "With a session, only these pages may ask for this.", request_id)
        refusal = _wrong_token(self._token, headers)
        if refusal is None:
            return None
        return await sign_in_page() if _is_for_people(scope, headers) else refusal_response(refusal, request_id)

    def _has_session(self, headers: Headers) -> bool:
        cookies = cookie_parser(b"; ".join(_values(headers, b"cookie")).decode("latin-1"))
        return self._token.admits_session(cookies.get(COOKIE, ""), self._now())


def _is_for_people(scope: Scope, headers: Headers) -> bool:
    """Whether a browser asks for a page, and not a program for an answer."""
    return scope["method"] in _HARMLESS and any(b"text/html" in accept for accept in _values(headers, b"accept"))


def _is_local(scope: Scope, headers: Headers) -> bool:
    """A loopback peer that speaks for itself, to a loopback name. Behind a proxy the peer proves nothing."""
    if any(name in _FORWARDED for name, _ in headers):
        return False
    hosts = _values(headers, b"host")
    return _is_loopback(client_address(scope, ())) and len(hosts) == 1 and _is_loopback(_name(hosts[0]))


def _wrong_token(token: AdminToken, headers: Headers) -> Refusal | None:
    values = _values(headers, b"authorization")
    if not values:
        return Refusal(Code.KEY_MISSING, "Send the admin token as `Authorization: Bearer <token>`.")
    scheme, _, presented = values[0].strip().partition(b" ")
    if len(values) > 1 or scheme.lower() != b"bearer" or not token.admits(presented.strip()):
        return Refusal(Code.KEY_INVALID, "This is not the admin token; send it as `Authorization: Bearer <token>`.")
    return None


def _comes_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that a page of another origin sent this (Fetch Metadata; RFC 6454 §7)."""
    sites = _values(headers, b"sec-fetch-site")
    if any(site not in (b"same-origin", b"none") for site in sites):
        return True
    hosts = [host.lower() for host in _values(headers, b"host")]
    return any(origin.lower().partition(b"://")[2] not in hosts for origin in _values(headers, b"origin"))


def _comes_from_here(headers: Headers) -> bool:
    """Whether a browser says that one of these pages sent this; what comes from elsewhere is refused before."""
    return any(_values(headers, name) for name in (b"sec-fetch-site", b"origin"))


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _name(host: bytes) -> str:
    """The host of a Host header, without its port."""
    text = host.decode("latin-1")
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
