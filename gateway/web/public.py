"""The public listener's ASGI app: every call goes through `PublicApp.__call__`, and nothing else answers clients.

The order is the order of trust: who calls (401 before anything about the path is said), how often, what, and only then
the body. Open routes alone come first: they answer everybody alike. Everything an endpoint raises becomes one error
shape here.
"""

import logging
from functools import partial

from gateway.afterwards import Afterwards
from gateway.context import Gateway
from gateway.core.access import check_expiry, check_scope
from gateway.core.errors import Code, Refusal
from gateway.core.fields import ratelimit_fields
from gateway.core.headers import Header, Headers
from gateway.core.limits import request_bounds, request_state
from gateway.core.policy import Mode
from gateway.core.refusals import refusal_for_requests
from gateway.ledger.ledger import LedgerUnavailable
from gateway.logs import log_event, logger
from gateway.upstream.client import Trace, UpstreamFailure
from gateway.upstream.request import PREFIX
from gateway.web.auth import Doorkeeper, client_address, identify_once
from gateway.web.call import Call, Receive, Scope, Send
from gateway.web.observe import observe
from gateway.web.respond import Reply, error_reply
from gateway.web.room import READS, WRITES, Room
from gateway.web.routes import Admit, RouteTable, method_of
from gateway.web.spans import begin_span
from gateway.web.streams import send_stream
from gateway.web.tracing import Randomness, request_id_of, told_by, trace_context

_LARGE = 64 * 1024
"""Bytes of an answer's body up to which it is the connection's to send, and its call is over at once."""

# A member read through its class costs as much as a call; this is read for every call.
_SHADOW = Mode.SHADOW

_READS = ("GET", "HEAD")
_GUESSES = (Code.KEY_INVALID, Code.UNKNOWN_ROUTE)
"""What a key or a token that is nobody's is answered with: whoever tries many is slowed down."""

_UPSTREAMS_FAULTS = (502, 504)
"""What the gateway answers when upstream let it wait in vain: that time is upstream's."""

_LEDGER_UNAVAILABLE = Refusal(
    Code.LEDGER_UNAVAILABLE, "The gateway cannot reach its ledger, so nothing was sent; try again.", retry_after=2
)
_INTERNAL_ERROR = Refusal(
    Code.INTERNAL_ERROR, "The gateway failed on this request; report its request_id to your platform team."
)


class PublicApp:
    """Answers calls on the public listener."""

    def __init__(self, gw: Gateway, routes: RouteTable) -> None:
        self._gw = gw
        self._routes = routes
        self._doorkeeper = Doorkeeper()
        self._randomness = Randomness()
        self._traced = gw.traces.on
        self._finished = Afterwards()
        self._room = Room(gw.settings.max_in_flight, gw.budget.bodies)
        gw.metrics.in_flight.set_function(self._count_in_flight)
        gw.metrics.waiting.set_function(lambda: gw.waits.count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call (ASGI HTTP). A team's has its place in the room until a large answer is taken, too."""
        call = self._begin(scope, receive)
        self._room.enter()
        try:
            reply = call.reply = await self._reply(call)
            elapsed = self._gw.ticks() - call.started
            if reply.code:
                call.upstream_seconds = _waited(call, reply, elapsed)
            if reply.stream is None:
                headers, respond = self._headers(call, reply, elapsed), scope.get("respond")
                if respond is None or not respond(reply.status, headers, reply.body):
                    await self._send(call, send, reply, headers)
            else:
                await self._stream(call, send, reply, elapsed)
                elapsed = self._gw.ticks() - call.started
        finally:
            try:
                if call.has_ends:
                    await call.end()
            finally:
                self._room.leave(call.who.team.name if call.who is not None else None, call.held)
        self._finished.add(partial(observe, call, reply, elapsed))

    async def _reply(self, call: Call) -> Reply:
        """The answer, whatever happens."""
        now, method = self._gw.now(), call.scope["method"]
        try:
            route, call.identifier = self._routes.find(call.scope["raw_path"]) or (None, "")
            call.route = route
            self._room.check(READS)
            if route is not None and route.is_open and method in route.methods:
                return await route.methods[method].endpoint(call)
            if route is None or route.admit is None:
                self._identify(call, now)
            else:
                await self._admit(call, route.admit, now)
            caller, reads = call.caller, method in _READS
            self._room.check(READS if reads else WRITES, caller.team.name)  # its rate may wait for the ledger
            bounds = request_bounds(caller, now)
            full = None if self._gw.leases.take_at_hand(bounds) else await self._gw.leases.take(bounds, now)
            call.limits_shown = [request_state(bound, self._gw.leases.used(bound), now) for bound in bounds]
            if full is not None:
                return _error_of(call, refusal_for_requests(full, caller, now, call.request_id))
            self._count_shadowed(call)
            if route is None:
                return _error_of(call, self._unknown(call))
            wanted = method_of(route, method)
            if wanted.scope is not None:
                check_scope(caller.key, wanted.scope)
            reply = await wanted.endpoint(call)
            if reads and len(reply.body) > _LARGE:  # what a create came to is told in any case
                call.hold(len(reply.body))
        except Exception as fault:  # noqa: BLE001 - the edge: the client gets an answer, and the log the place
            return _error_of(call, fault)
        return reply

    async def _stream(self, call: Call, send: Send, reply: Reply, elapsed: float) -> None:
        """Answer with a stream. Nothing of it is the gateway's own work: its time counts as upstream's."""
        try:
            await send_stream(call, send, reply, self._headers(call, reply, elapsed))
        except (Refusal, UpstreamFailure, LedgerUnavailable) as failure:
            log_event(logging.WARNING, "answer broken off", request_id=call.request_id, error=str(failure))
        except Exception:  # noqa: BLE001 - the edge: the status is out, so the client is shown an end too early
            logger.exception("unhandled", extra={"fields": {"request_id": call.request_id}})
        call.upstream_seconds += self._gw.ticks() - call.started - elapsed

    async def _send(self, call: Call, send: Send, reply: Reply, headers: list[Header]) -> None:
        """Answer with what has to wait until the client takes it. A call of nobody's takes up no room meanwhile.

        It holds nothing: what an open route answers is the same memory for everybody, and a refusal is small. Else
        whoever has no key could take up all the room by leaving answers unread.
        """
        if call.who is None:
            with self._room.aside():
                await _send(send, reply, headers)
        else:
            await _send(send, reply, headers)

    def _count_in_flight(self) -> int:
        return self._room.load.calls + self._room.load.aside

    def _begin(self, scope: Scope, receive: Receive) -> Call:
        gw, headers, fresh = self._gw, scope["headers"], self._randomness.take()
        named = dict(headers)  # most of what is looked for is not there
        request_id = fresh[:32]
        context: Headers = ()
        if b"x-request-id" in named:
            told = [value for name, value in told_by(headers) if name == b"x-request-id"]
            request_id = request_id_of(told, request_id)
        if b"traceparent" in named:
            context = trace_context(headers, fresh)
        trace = Trace(request_id, context)
        call = Call(gw, scope, receive, named, gw.policies.current, request_id, trace, gw.ticks(), self._room)
        if self._traced:
            begin_span(call)
        return call

    def _unknown(self, call: Call) -> Refusal:
        advice = self._routes.advise(call.scope["raw_path"]) or f"the API of GMI Cloud begins with {PREFIX}"
        return Refusal(Code.UNKNOWN_ROUTE, f"There is no such path here; {advice}.")

    def _identify(self, call: Call, now: float) -> None:
        """Who calls, by the key."""
        try:
            call.who = identify_once(call.policy, call.scope.get("notes", {}), call.headers)
            self._room.join(call.who.team.name)
            check_expiry(call.who.key, now)
        except Refusal as refusal:
            self._turn_away(call, refusal, now)
            raise

    async def _admit(self, call: Call, admit: Admit, now: float) -> None:
        """Who calls, by the token in the path."""
        try:
            call.who = await admit(call)
            self._room.join(call.who.team.name)
        except Refusal as refusal:
            self._turn_away(call, refusal, now)
            raise

    def _turn_away(self, call: Call, refusal: Refusal, now: float) -> None:
        """Close behind who may not call. Refusal 429 for who guesses too often."""
        refusal.close = True
        if refusal.code in _GUESSES:
            self._doorkeeper.note_bad_key(client_address(call.scope, self._gw.settings.trusted_proxies), now)

    def _count_shadowed(self, call: Call) -> None:
        """Count the request rates that would refuse the call, were they in force."""
        for state in call.limits_shown:
            if state.used > state.ceiling and state.limit.mode is _SHADOW:
                self._gw.metrics.shadow_denied(call.caller.team.name, state.limit.name).inc()

    def _headers(self, call: Call, reply: Reply, elapsed: float) -> list[Header]:
        upstream = call.upstream_seconds * 1000
        timing = b"upstream;dur=%.3f, gateway;dur=%.3f" % (upstream, max(0.0, elapsed * 1000 - upstream))
        headers = [
            *reply.headers,
            (b"x-request-id", call.request_id.encode()),
            (b"server-timing", timing),
        ]
        if call.limits_shown:
            headers += ratelimit_fields(call.limits_shown)
        return headers


def _error_of(call: Call, fault: Exception) -> Reply:
    """What a fault is told as. One of ours is a 500 with an id, never a traceback."""
    if isinstance(fault, UpstreamFailure):
        fault = fault.as_refusal()
    elif isinstance(fault, LedgerUnavailable):
        fault = _LEDGER_UNAVAILABLE
    elif not isinstance(fault, Refusal):
        logger.error("unhandled", exc_info=fault, extra={"fields": {"request_id": call.request_id}})
        fault = _INTERNAL_ERROR
    if fault.used:
        call.show_limits(fault.used)
    return error_reply(fault, call.request_id)


def _waited(call: Call, reply: Reply, elapsed: float) -> float:
    """The seconds of a refused call that were not the gateway's own work: what it waited for upstream, or for a job."""
    if reply.status in _UPSTREAMS_FAULTS:
        return elapsed
    return call.upstream_seconds if call.wait is None else max(call.upstream_seconds, call.wait.waited)


async def _send(send: Send, reply: Reply, headers: list[Header]) -> None:
    if reply.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if len(reply.body) > _LARGE:
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        await send({"type": "http.response.body"})  # the server takes this once the client has taken the rest
    else:
        await send({"type": "http.response.body", "body": reply.body})
