"""A call that waits, as its client asked or because it streams: begun here, ended by `PublicApp` with the call."""

import asyncio
from functools import partial
from math import inf

from gateway.core.access import caller_again, check_scope
from gateway.core.limits import request_bounds, request_state
from gateway.core.policy import Scope
from gateway.core.preferences import wait_of
from gateway.waits import Wait
from gateway.web.call import Call
from gateway.web.respond import Reply
from gateway.web.streams import client_left


def seconds_asked(call: Call) -> int | None:
    """What the client says of `wait` in `Prefer`; None for nothing."""
    return wait_of(call.headers(b"prefer")) if b"prefer" in call.named else None


def begin_wait(call: Call, seconds: float, pulse: float = inf) -> Wait:
    """Let the call wait so many seconds from when it came. Refusal 429 or 503 where too many do."""
    gw, caller = call.gw, call.caller
    aside = partial(call.room.aside, caller.team.name)
    wait = Wait(caller, call.started + seconds, gw.ticks, aside, pulse)
    gw.waits.begin(wait)
    call.wait = wait
    return wait


def end_with_client(call: Call, wait: Wait) -> "asyncio.Task[None]":
    """End the wait when the client leaves, unless what is returned, which watches for that, is cancelled before.

    For a call whose body has been read, and whose answer is not being streamed yet.
    """
    leaving = call.gw.tasks.start(client_left(call.receive), "wait for the client to leave")
    leaving.add_done_callback(lambda left: None if left.cancelled() else wait.end())
    wait.ended.add_done_callback(lambda _: leaving.cancel())
    return leaving


def tell_limits_of_now(call: Call) -> None:
    """Have the answer tell how full the request rates are now, in place of all it would have told before the wait."""
    now = call.gw.now()
    bounds = request_bounds(call.caller, now)
    call.limits_shown = [request_state(bound, call.gw.leases.used(bound), now) for bound in bounds]


def check_key_again(call: Call) -> None:
    """Refusal 401 or 403 if the key that was good when the call came is not any more."""
    check_scope(caller_again(call.gw.policies.current, call.caller, call.gw.now()).key, Scope.JOBS_READ)


def applied(reply: Reply, seconds: int) -> Reply:
    """The reply, telling the client what was taken of its `Prefer: wait` (RFC 7240 §3): of no use with an error."""
    return reply if reply.status >= 400 else reply.adding((b"preference-applied", b"wait=%d" % seconds))
