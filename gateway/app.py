"""The composition root: settings become one `Gateway`, its two ASGI apps, and the loops that keep it going.

The one place that knows all the parts, and the one that reads the wall clock. Two texts are dated by those who write
them, and nothing goes by that: the header `Date` (`server.listener`) and the lines of the log.
"""

import asyncio
import logging
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.budget import Budget, budget_for
from gateway.cache import Cache
from gateway.context import Gateway, Tasks
from gateway.core.policy import Credential, Source
from gateway.duties import attend, begin_duties
from gateway.leases import Leases
from gateway.ledger.clock import LedgerClock
from gateway.logs import AccessLog, configure, log_event
from gateway.memory import JobMemory
from gateway.outbound import Outbound, Outside
from gateway.policies import Policies
from gateway.refusals import Refusals
from gateway.reloading import policies_for_siblings, reload_policies, show_policies, what_lacks
from gateway.rounds import Rounds
from gateway.server.binding import CannotListenError, Ground, bind_both, find_tls
from gateway.server.listener import Bind, listen
from gateway.server.memory import memory_limit
from gateway.server.run import Drain, Ending, collect_seldom, run, share_the_interpreter
from gateway.settings import Settings
from gateway.siblings import Siblings
from gateway.stand_in import StandIn, simulated
from gateway.starting import StartError, begin_traces, open_ledger
from gateway.storage import Storage
from gateway.telemetry import Metrics
from gateway.upstream.client import Limits as UpstreamLimits
from gateway.upstream.client import Upstream
from gateway.upstream.credentials import Credentials
from gateway.upstream.transport import build_transport, trusted_context
from gateway.waits import Waits
from gateway.web.admin.app import admin_app
from gateway.web.admin.scrape import counts_for_siblings, dump_metrics
from gateway.web.admin.token import AdminToken
from gateway.web.public import PublicApp
from gateway.web.public_routes import public_routes
from gateway.web.respond import render_refusal

if TYPE_CHECKING:
    from gateway.server.workers import Post

_LAST_WORDS = 5.0
"""Seconds that work which outlives its call gets when the gateway closes."""

_SPARE_CONNECTIONS = 64
"""Connections beyond the calls that may be under way, so that none ever waits for one."""

_OUTSIDE = Outside()

_now = time.time  # noqa: TID251 - what is decided by the wall clock is decided by this one, and has it passed in


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that listens. The URLs end without a slash."""

    gw: Gateway
    public_url: str
    admin_url: str
    simulator_url: str | None


@dataclass(frozen=True, slots=True)
class Seat:
    """One worker's place among those that serve together.

    `sockets` are the listeners' (public, admin), and `folder` is where the workers find each other.
    """

    post: "Post"
    sockets: tuple[socket.socket, socket.socket]
    folder: Path
    stand_in: StandIn | None


async def serve(
    settings: Settings, environment: Mapping[str, str], seat: Seat | None = None, outside: Outside = _OUTSIDE
) -> int:
    """Run until told to end; the exit status. Raises StartError before anything is served, with no port left open."""
    share_the_interpreter()
    ending = Ending()
    if seat is not None:
        ending.on_silence(seat.post.lifeline)
    with _ground(settings, seat) as ground:
        async with opened(settings, environment, seat, outside) as (gw, _):
            ending.on_reload(partial(_reload_soon, gw))
            binds = _binds(gw, ground)
            collect_seldom()
            drain = Drain(settings.drain_delay, settings.drain_timeout)
            announce = sys.stderr if seat is None else seat.post.announce
            status = await run(binds, drain, ending, on_drain=gw.draining.set, announce=announce)
            if ending.hurried.is_set():
                await gw.tasks.finish(0)  # what is broken off is looked up by whoever serves next, as after a crash
            return status


@asynccontextmanager
async def running(
    settings: Settings, environment: Mapping[str, str], outside: Outside = _OUTSIDE
) -> AsyncIterator[Running]:
    """A gateway that listens until the block ends, without signals: for the demo and the tests."""
    with _ground(settings, None) as ground:
        async with opened(settings, environment, outside=outside) as (gw, stand_in):
            listeners = [await listen(bind) for bind in _binds(gw, ground)]
            public, admin = (listener.url for listener in listeners)
            try:
                yield Running(gw, public, admin, stand_in.url if stand_in else None)
            finally:
                gw.draining.set()
                for listener in listeners:
                    await listener.finish(1.0)


@asynccontextmanager
async def opened(
    settings: Settings, environment: Mapping[str, str], seat: Seat | None = None, outside: Outside = _OUTSIDE
) -> AsyncIterator[tuple[Gateway, StandIn | None]]:
    """Everything but the listeners: policies read, ledger open, loops going. Closed in the opposite order.

    Gives the gateway, and what stands in for upstream if anything does. Raises StartError.
    """
    settings, budget = _prepared(settings)
    clock = LedgerClock(_now, time.perf_counter)
    async with AsyncExitStack() as stack:
        traces = begin_traces(environment, clock, __version__)
        stack.push_async_callback(traces.close)
        policies = await _read_policies(settings)
        stand_in = seat.stand_in if seat is not None else None
        if settings.simulate and stand_in is None:
            stand_in = await stack.enter_async_context(simulated())
        credentials = _credentials(policies, environment, stand_in)
        lacking = partial(what_lacks, credentials, settings)
        if missing := lacking(policies.current):
            raise StartError("\n".join(missing))
        policies.require(lacking)
        metrics = Metrics(__version__)
        trusted = trusted_context()
        url = stand_in.url if stand_in else settings.upstream_url
        upstream = _upstream(settings, budget, url, credentials, metrics, trusted)
        upstream.traces = traces
        stack.push_async_callback(upstream.close)
        outbound, to_storage = (Outbound(partial(build_transport, 1, trusted), outside) for _ in range(2))
        stack.callback(outbound.close)
        stack.callback(to_storage.close)
        ledger = await open_ledger(settings, metrics)
        stack.push_async_callback(ledger.close)
        await attend(ledger, clock)
        gw = Gateway(
            settings=settings,
            policies=policies,
            ledger=ledger,
            leases=Leases(ledger),
            upstream=upstream,
            credentials=credentials,
            outbound=outbound,
            storage=Storage(to_storage, stand_in.url if stand_in else outside.simulator),
            budget=budget,
            catalogue=Cache(budget.listings),
            jobs=JobMemory(budget.records),
            waits=Waits(settings.max_in_flight),
            metrics=metrics,
            refusals=Refusals(ledger),
            siblings=Siblings(None, "") if seat is None else Siblings(seat.folder, seat.post.name),
            access_log=AccessLog(sys.stdout.buffer if settings.access_log else None),
            tasks=Tasks(),
            rounds=Rounds(settings.max_in_flight),
            now=clock,
            ticks=time.perf_counter,
            draining=asyncio.Event(),
            wake=asyncio.Event(),
            traces=traces,
        )
        await _set_going(gw, clock, stack)
        yield gw, stand_in


async def _set_going(gw: Gateway, clock: LedgerClock, stack: AsyncExitStack) -> None:
    """Begin what goes on all the while. It ends in the opposite order: duties first, then what calls left to do."""
    await gw.siblings.open({**counts_for_siblings(gw), **policies_for_siblings(gw)})
    stack.push_async_callback(gw.siblings.close)
    stack.push_async_callback(dump_metrics, gw)
    stack.push_async_callback(gw.leases.close)
    stack.callback(gw.access_log.close)
    stack.push_async_callback(gw.refusals.write)
    stack.push_async_callback(gw.tasks.finish, _LAST_WORDS)
    stack.push_async_callback(begin_duties(gw, clock))
    show_policies(gw)


def _prepared(settings: Settings) -> tuple[Settings, Budget]:
    """Set up the log; the settings, with no larger body than memory has room for, and that room. Raises StartError."""
    configure(settings.log_format, settings.log_level)
    if problem := AdminToken(settings).problem():
        raise StartError(problem)
    budget = budget_of(settings)
    if settings.max_body > budget.bodies:
        log_event(logging.WARNING, "largest body lowered to what memory allows", bytes=budget.bodies)
        settings = replace(settings, max_body=budget.bodies)
    return settings, budget


def budget_of(settings: Settings) -> Budget:
    """What fits into this process's memory."""
    return budget_for(memory_limit(), settings.workers, settings.max_body)


def _reload_soon(gw: Gateway) -> None:
    gw.tasks.start(reload_policies(gw, asked=True), "reload")


async def _read_policies(settings: Settings) -> Policies:
    policies = Policies(Path(settings.policies))
    if not await asyncio.to_thread(policies.reload, _now()):
        raise StartError("\n".join(str(problem) for problem in policies.problems))
    return policies


def _credentials(policies: Policies, environment: Mapping[str, str], stand_in: StandIn | None) -> Credentials:
    """The upstream keys the policies name; in front of the simulator every credential is the simulator's."""
    if stand_in is not None:
        key, organization = Source("text", stand_in.key), Source("text", stand_in.organization)
        credential = Credential("simulator", (key,), organization)
        return Credentials(lambda _: credential, environment)

    def find(name: str) -> Credential | None:
        return policies.current.credentials.get(name)

    credentials = Credentials(find, environment)
    missing = credentials.missing(policies.current)
    if missing:
        raise StartError("\n".join([*missing, "Set the real key, or try it out with --simulate."]))
    return credentials


def _upstream(
    settings: Settings, budget: Budget, url: str, credentials: Credentials, metrics: Metrics, trusted: ssl.SSLContext
) -> Upstream:
    limits = UpstreamLimits(settings.upstream_timeout, settings.create_timeout, settings.max_in_flight, budget.bodies)
    transport = build_transport(settings.max_in_flight + _SPARE_CONNECTIONS, trusted)
    return Upstream(url, transport, credentials, metrics, limits, time.perf_counter)


def bind(settings: Settings) -> tuple[socket.socket, socket.socket]:
    """Both listeners' sockets, bound: public, admin. Raises StartError if an address cannot be had."""
    try:
        return bind_both((settings.host, settings.port), (settings.admin_host, settings.admin_port))
    except CannotListenError as error:
        raise StartError(str(error)) from error


@contextmanager
def _ground(settings: Settings, seat: Seat | None) -> Iterator[Ground]:
    """What the listeners stand on, had before there is a ledger: a start that fails for want of it makes no new one.

    Raises StartError if an address or the TLS files cannot be had.
    """
    try:
        tls = find_tls(settings.tls_cert, settings.tls_key)
    except CannotListenError as error:
        raise StartError(str(error)) from error
    public, admin = bind(settings) if seat is None else seat.sockets
    with public, admin:
        yield Ground(public, admin, tls)


def _binds(gw: Gateway, ground: Ground) -> list[Bind]:
    """What is served where."""
    return [
        Bind(PublicApp(gw, public_routes()), ground.public, render_refusal, "public", tls=ground.tls),
        Bind(admin_app(gw), ground.admin, render_refusal, "admin"),
    ]
