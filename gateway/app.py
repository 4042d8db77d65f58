"""The composition root: settings become one `Gateway`, its two ASGI apps, and the loops that keep it going.

The only place that reads the clock, opens things and chooses backends.
"""

import asyncio
import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway import __version__, recovery, settlement
from gateway.cache import Cache
from gateway.context import Gateway, Tasks
from gateway.core.policy import Credential, Source
from gateway.leases import Leases
from gateway.ledger.clock import LedgerClock
from gateway.ledger.faults import LedgerUnreachable
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.logs import AccessLog, configure, log_event
from gateway.memory import JobMemory
from gateway.policies import Policies
from gateway.refusals import Refusals
from gateway.reloading import reload_policies, show_policies
from gateway.server.binding import CannotListenError, bind_both, find_tls
from gateway.server.listener import Bind, listen
from gateway.server.run import Drain, Ending, run
from gateway.settings import Settings
from gateway.simulator import Simulator
from gateway.telemetry import Metrics
from gateway.upstream.client import Limits as UpstreamLimits
from gateway.upstream.client import Upstream
from gateway.upstream.credentials import Credentials
from gateway.upstream.transport import build_transport
from gateway.web.admin.app import admin_app
from gateway.web.admin.token import AdminToken
from gateway.web.public import PublicApp
from gateway.web.public_routes import public_routes
from gateway.web.respond import render_refusal

SETTLE_EVERY = 1.0
"""Seconds between two rounds of following open jobs, and of looking up lost creates."""

ATTEND_EVERY = 2.0
"""Seconds between two signs of life to the other gateways on the ledger. One that gives none for ten is gone."""

READ_POLICIES_EVERY = 1.0
WRITE_REFUSALS_EVERY = 2.0
PURGE_EVERY = 3600.0

Work = Callable[[], Coroutine[Any, Any, None]]

SWITCH_INTERVAL = 0.0005
"""Seconds a thread keeps the interpreter while another waits for it. At Python's own 5 ms the ledger's thread, which
asks for it at every statement, would get a busy loop's leavings."""

_LAST_WORDS = 5.0
"""Seconds that work which outlives its call gets when the gateway closes."""

_SPARE_CONNECTIONS = 64
"""Above what calls may be under way, so that none ever waits for a connection."""


class StartError(Exception):
    """The gateway cannot start; the text says why and what to do, one line per problem."""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that listens. The URLs end without a slash."""

    gw: Gateway
    public_url: str
    admin_url: str
    simulator_url: str | None


async def serve(settings: Settings, environment: Mapping[str, str]) -> int:
    """Run until told to end; the exit status. Raises StartError before any port is open."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    ending = Ending()
    async with opened(settings, environment) as (gw, _):
        ending.on_reload(partial(_reload_soon, gw))
        binds = _binds(gw)
        gc.freeze()  # all this stays; to find that out, each full collection would halt every call for 50 ms
        drain = Drain(settings.drain_delay, settings.drain_timeout)
        return await run(binds, drain, ending, on_drain=gw.draining.set, announce=sys.stderr)


@asynccontextmanager
async def running(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Running]:
    """A gateway that listens until the block ends, without signals: for the demo and the tests."""
    async with opened(settings, environment) as (gw, simulator):
        listeners = [await listen(bind) for bind in _binds(gw)]
        public, admin = (listener.url for listener in listeners)
        try:
            yield Running(gw, public, admin, simulator.url if simulator else None)
        finally:
            gw.draining.set()
            for listener in listeners:
                await listener.finish(1.0)


@asynccontextmanager
async def opened(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[tuple[Gateway, Simulator | None]]:
    """Everything but the listeners: policies read, ledger open, loops going. Closed in the opposite order.

    Raises StartError.
    """
    configure(settings.log_format, settings.log_level)
    if problem := AdminToken(settings).problem():
        raise StartError(problem)
    async with AsyncExitStack() as stack:
        policies = await _read_policies(settings)
        simulator = await stack.enter_async_context(Simulator()) if settings.simulate else None
        credentials = _credentials(policies, environment, simulator)
        metrics = Metrics(__version__)
        upstream_url = simulator.url if simulator else settings.upstream_url
        upstream = _upstream(settings, upstream_url, credentials, metrics)
        stack.push_async_callback(upstream.close)
        ledger = await _open_ledger(settings, metrics)
        stack.push_async_callback(ledger.close)
        clock = LedgerClock(_now, time.perf_counter)
        await _attend(ledger, clock)
        gw = Gateway(
            settings=settings,
            policies=policies,
            ledger=ledger,
            leases=Leases(ledger),
            upstream=upstream,
            catalogue=Cache(),
            jobs=JobMemory(),
            metrics=metrics,
            refusals=Refusals(ledger),
            access_log=AccessLog(sys.stdout.buffer if settings.access_log else None),
            tasks=Tasks(),
            now=clock,
            ticks=time.perf_counter,
            draining=asyncio.Event(),
            wake=asyncio.Event(),
        )
        stack.push_async_callback(gw.leases.close)
        stack.callback(gw.access_log.close)
        stack.push_async_callback(gw.refusals.write)
        stack.push_async_callback(gw.tasks.finish, _LAST_WORDS)
        for name, work, pause in _duties(gw, clock):
            stack.push_async_callback(_end, asyncio.get_running_loop().create_task(_keep(gw, name, work, pause)))
        show_policies(gw)
        yield gw, simulator


def _now() -> float:
    """Unix seconds. The one place that reads the wall clock; everywhere else it is passed in."""
    return time.time()  # noqa: TID251 - see above


def _reload_soon(gw: Gateway) -> None:
    gw.tasks.start(reload_policies(gw), "reload")


async def _read_policies(settings: Settings) -> Policies:
    policies = Policies(Path(settings.policies))
    if not await asyncio.to_thread(policies.reload, _now()):
        raise StartError("\n".join(str(problem) for problem in policies.problems))
    return policies


def _credentials(policies: Policies, environment: Mapping[str, str], simulator: Simulator | None) -> Credentials:
    """The upstream keys the policies name; in front of the simulator every credential is the simulator's."""
    if simulator is not None:
        key, organization = simulator.settings.keys[0], simulator.settings.organizations[0]
        stand_in = Credential("simulator", (Source("text", key),), Source("text", organization))
        return Credentials(lambda _: stand_in, environment)

    def find(name: str) -> Credential | None:
        return policies.current.credentials.get(name)

    credentials = Credentials(find, environment)
    missing = credentials.missing(policies.current)
    if missing:
        raise StartError("\n".join([*missing, "Set the real key, or try it out with --simulate."]))
    return credentials


def _upstream(settings: Settings, url: str, credentials: Credentials, metrics: Metrics) -> Upstream:
    limits = UpstreamLimits(settings.upstream_timeout, settings.create_timeout, settings.max_in_flight)
    transport = build_transport(settings.max_in_flight + _SPARE_CONNECTIONS)
    return Upstream(url, transport, credentials, metrics, limits)


async def _open_ledger(settings: Settings, metrics: Metrics) -> Ledger:
    """The ledger, which is opened later on if its server cannot be reached now: until then nothing is ready."""

    def timed(operation: str, seconds: float) -> None:
        metrics.ledger_duration(operation).observe(seconds)

    try:
        ledger = Ledger(settings.ledger, timed)
        await ledger.open()
    except LedgerUnreachable as error:
        log_event(logging.ERROR, "ledger cannot be reached", error=str(error))
    except LedgerUnavailable as error:
        raise StartError(f"ledger: {error}") from error
    return ledger


def _binds(gw: Gateway) -> list[Bind]:
    """Both listeners' sockets, bound. Raises StartError if an address or the TLS files cannot be had."""
    settings = gw.settings
    try:
        tls = find_tls(settings.tls_cert, settings.tls_key)
        public, admin = bind_both((settings.host, settings.port), (settings.admin_host, settings.admin_port))
    except CannotListenError as error:
        raise StartError(str(error)) from error
    return [
        Bind(PublicApp(gw, public_routes()), public, render_refusal, "public", tls=tls),
        Bind(admin_app(gw), admin, render_refusal, "admin"),
    ]


def _duties(gw: Gateway, clock: LedgerClock) -> Iterator[tuple[str, Work, Work]]:
    """What is done all the while: its name, one round of it, and the pause after a round."""
    yield "attend", partial(_attend, gw.ledger, clock), partial(asyncio.sleep, ATTEND_EVERY)
    yield "follow", partial(_settle, gw, partial(settlement.follow, gw)), partial(asyncio.sleep, SETTLE_EVERY)
    yield "recover", partial(_settle, gw, partial(recovery.recover, gw)), partial(_woken, gw)
    yield "read policies", partial(_read_changed_policies, gw), partial(asyncio.sleep, READ_POLICIES_EVERY)
    yield "write refusals", gw.refusals.write, partial(asyncio.sleep, WRITE_REFUSALS_EVERY)
    yield "purge", partial(_purge, gw), partial(asyncio.sleep, PURGE_EVERY)


async def _keep(gw: Gateway, name: str, work: Work, pause: Work) -> None:
    """Do a duty round after round. One that fails is reported by `Tasks`, and the next comes all the same."""
    while True:
        under_way = gw.tasks.start(work(), name)
        try:
            await asyncio.wait([under_way])
        finally:
            under_way.cancel()
        await pause()


async def _attend(ledger: Ledger, clock: LedgerClock) -> None:
    """Say that this gateway is there, by the ledger's own clock. Opens the ledger if that was not possible before."""
    with suppress(LedgerUnavailable):
        if not ledger.is_open:
            await ledger.open()
        asked = time.perf_counter()
        instant = await ledger.instant()
        if instant is not None:
            clock.set(instant, asked, time.perf_counter())
        await ledger.renew(clock())


async def _settle(gw: Gateway, work: Work) -> None:
    try:
        await work()
    except LedgerUnavailable:
        gw.metrics.settlement_errors.inc()


async def _woken(gw: Gateway) -> None:
    """Until one more create is in doubt, at most a second."""
    with suppress(TimeoutError):
        await asyncio.wait_for(gw.wake.wait(), SETTLE_EVERY)
    gw.wake.clear()


async def _read_changed_policies(gw: Gateway) -> None:
    if await asyncio.to_thread(gw.policies.changed):
        await reload_policies(gw)


async def _purge(gw: Gateway) -> None:
    with suppress(LedgerUnavailable):
        await gw.ledger.purge(gw.now())


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
