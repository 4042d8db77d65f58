"""One call on the public listener, from its first byte to its last."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.context import Gateway
from gateway.core.decide import Decision
from gateway.core.limits import LimitState, limit_states
from gateway.core.policy import Caller, PolicySet
from gateway.relay import Upload
from gateway.telemetry import Span
from gateway.upstream.client import Trace
from gateway.waits import Wait
from gateway.web.room import Room

if TYPE_CHECKING:
    from gateway.web.respond import Reply
    from gateway.web.routes import Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Call(msgspec.Struct, eq=False):
    """Who calls what, under one policy generation, and what the edge notes of it on the way.

    `named` are the headers by name, of several of one name the last. `who` and `route` are None until they are known;
    an endpoint runs only when both are. `identifier` is the last part of the path as it was sent. `upstream_seconds` is
    written by the endpoint: the time it waited for upstream.
    `held` are the bytes the call takes up in the room. `wait` is what it waits by, if it does; it ends with the call.
    `upload` is what the token in its path allows, if that is what it has.
    Of a create, `decision` is what the policy said of it, `job` the id upstream gave it, and `replayed` says that the
    answer is the first one given again. `reply` is what the call is answered, once that is known, and `span` what it is
    recorded in, if it is.
    """

    gw: Gateway
    scope: Scope
    receive: Receive
    named: dict[bytes, bytes]
    policy: PolicySet
    request_id: str
    trace: Trace
    started: float
    room: Room
    who: Caller | None = None
    route: "Route | None" = None
    identifier: str = ""
    upstream_seconds: float = 0.0
    model: str = ""
    decision: Decision | None = None
    job: str = ""
    replayed: bool = False
    limits_shown: list[LimitState] = []
    held: int = 0
    wait: Wait | None = None
    upload: Upload | None = None
    span: Span | None = None
    reply: "Reply | None" = None
    _ends: AsyncExitStack | None = None

    @property
    def ends(self) -> AsyncExitStack:
        """What ends with the call, last in first out. Few calls have anything of the kind."""
        if self._ends is None:
            self._ends = AsyncExitStack()
        return self._ends

    @property
    def has_ends(self) -> bool:
        """Whether anything ends with the call."""
        return self.wait is not None or self._ends is not None

    async def end(self) -> None:
        """The answer is out, or nobody takes it any more."""
        if self.wait is not None:
            self.gw.waits.leave(self.wait)
        if self._ends is not None:
            await self._ends.aclose()

    @property
    def caller(self) -> Caller:
        """Who calls; only asked once that is known."""
        assert self.who is not None
        return self.who

    def show_limits(self, used: Mapping[str, int]) -> None:
        """Have the answer tell how full the limits on these counters are, besides those it tells of already."""
        told = {state.counter for state in self.limits_shown}
        states = limit_states(self.caller, used, self.gw.now())
        self.limits_shown += [state for state in states if state.counter in used.keys() - told]

    def note_decision(self, decision: Decision) -> None:
        """Keep what the policy said of a create, for its access line."""
        self.decision = decision

    def note_job(self, job: str) -> None:
        """Keep the id of the job that a create became, for its access line."""
        self.job = job

    def hold(self, size: int) -> None:
        """Take up so many bytes more until the call is over. Refusal 503 if the gateway has no room for them."""
        self.room.hold(self.caller.team.name, size, self.held)
        self.held += size

    def let_go(self) -> None:
        """Hold nothing any more."""
        self.room.let_go(self.caller.team.name, self.held)
        self.held = 0

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; None if absent."""
        return next(iter(self.headers(name)), None)

    def headers(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        if name not in self.named:
            return []
        headers = self.scope["headers"]
        if len(self.named) == len(headers):
            return [self.named[name]]
        return [value for key, value in headers if key == name]
