"""The public routes: the only list of them, and how a raw path finds its place in it.

A path is compared as it was sent. Nothing is decoded, collapsed or redirected first: two spellings of one path are
how a request reaches upstream under a name that policy did not see.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller, Scope
from gateway.upstream.request import PREFIX

if TYPE_CHECKING:
    from gateway.web.call import Call
    from gateway.web.respond import Reply

Endpoint = Callable[["Call"], Awaitable["Reply"]]
Admit = Callable[["Call"], Awaitable["Caller"]]
"""Whose the token in the call's path is. Raises Refusal."""

_NAME = "{name}"


@dataclass(frozen=True, slots=True)
class Method:
    """What one method of a route does, and the key scope it takes (None: any key may)."""

    endpoint: Endpoint
    scope: Scope | None


@dataclass(frozen=True, slots=True)
class Route:
    """`label` names the route in metrics and logs.

    `pattern` is what the part of the raw path after `path` must look like, and `tail` what follows that; one that ends
    with `{name}` has any one further part in its place. An open route answers its methods to callers without a key,
    counts for no team, and is the same for everybody. A route with `admit` is for who has the token that its path ends
    with: that takes the place of a key.
    """

    label: str
    path: str
    methods: Mapping[str, Method]
    pattern: re.Pattern[bytes] | None = None
    tail: str = ""
    is_open: bool = False
    admit: "Admit | None" = None

    @property
    def template(self) -> str:
        """The whole path, with names in place of what differs between calls."""
        return self.label if self.path.startswith(self.label.partition("{")[0]) else PREFIX + self.label

    @property
    def allow(self) -> bytes:
        """The `Allow` header (RFC 9110 §10.2.1)."""
        return ", ".join(sorted(self.methods)).encode()


def with_head(methods: Mapping[str, Method]) -> Mapping[str, Method]:
    """HEAD wherever GET is (RFC 9110 §9.3.2)."""
    return {**methods, "HEAD": methods["GET"]} if "GET" in methods else methods


class RouteTable:
    """Exact paths by dictionary; a path with an id by the folder it stands in, and by what follows the id."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self.routes = routes
        self._exact = {route.path.encode(): route for route in routes if route.pattern is None}
        with_id = [route for route in routes if route.pattern is not None]
        self._folders = {route.path.encode(): route for route in with_id if not route.tail}
        self._tails = {
            (route.path.encode(), route.tail.removesuffix(_NAME).encode()): route for route in with_id if route.tail
        }

    def find(self, raw_path: bytes) -> tuple[Route, str] | None:
        """The route of a raw path, and its id as sent (empty where the route has none)."""
        route = self._exact.get(raw_path)
        if route is not None:
            return route, ""
        folder, slash, identifier = raw_path.rpartition(b"/")
        route = self._folders.get(folder + slash)
        if route is None:
            last = identifier
            folder, slash, identifier = folder.rpartition(b"/")
            route = self._tails.get((folder + slash, slash + last))
            if route is None:
                tail = slash + identifier + slash
                folder, slash, identifier = folder.rpartition(b"/")
                route = self._tails.get((folder + slash, tail)) if last else None
        if route is None or route.pattern is None or not route.pattern.fullmatch(identifier):
            return None
        return route, identifier.decode("ascii")

    def advise(self, raw_path: bytes) -> str:
        """How a path that leads nowhere has to be written, where nothing but its slashes is wrong; else empty.

        The path itself is not repeated: it may hold a token.
        """
        plain = b"/" + b"/".join(part for part in raw_path.split(b"/") if part)
        known, known_as_folder = self.find(plain) is not None, self.find(plain + b"/") is not None
        if known and raw_path == plain + b"/":
            return "leave out the slash at its end"
        if known_as_folder and raw_path == plain:
            return "put a slash at its end"
        return "write it with single slashes" if known or known_as_folder else ""


def method_of(route: Route, method: str) -> Method:
    """The route's method, or Refusal 405 with `Allow`."""
    found = route.methods.get(method)
    if found is None:
        message = f"{method} is not possible here; use {route.allow.decode()}."
        raise Refusal(Code.METHOD_NOT_ALLOWED, message, headers=((b"allow", route.allow),))
    return found
