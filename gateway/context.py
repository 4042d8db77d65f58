"""What a flow works with: its collaborators, put together once by `gateway.app` and never changed."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.budget import Budget
from gateway.cache import Cache
from gateway.core.errors import Refusal
from gateway.leases import Leases
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.lines import Gate, Line
from gateway.logs import AccessLog, Seldom, log_event, place_of
from gateway.memory import JobMemory
from gateway.outbound import Outbound
from gateway.policies import Policies
from gateway.refusals import Refusals
from gateway.rounds import Rounds
from gateway.settings import Settings
from gateway.siblings import Siblings
from gateway.storage import Storage
from gateway.telemetry import NO_TRACES, Denials, KeyUses, Metrics, Traces
from gateway.upstream.client import Upstream, UpstreamFailure
from gateway.upstream.credentials import Credentials
from gateway.waits import Waits

T = TypeVar("T")

_FORESEEN = (Refusal, UpstreamFailure, LedgerUnavailable)
"""What a flow ends with when the world is not as it should be: whoever waits answers for it."""


class Tasks:
    """Work that outlives the call that began it: kept until done, and its faults reported."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` on its own. A fault that no flow foresees is logged, whether somebody awaits it or not."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    async def shield(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Await `work`, which goes on to its end even if the one who awaits is cancelled."""
        return await asyncio.shield(self.start(work, name))

    async def finish(self, patience: float) -> None:
        """Wait at most `patience` seconds for everything to end, then cancel the rest."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, _FORESEEN):
            log_event(logging.ERROR, "task failed", task=task.get_name(), error=place_of(fault))


@dataclass(frozen=True, slots=True)
class Gateway:
    """One running gateway.

    `now` gives unix seconds, `ticks` a monotonic clock for durations. `draining` is set once the gateway is to end;
    `wake` asks for the next round of recovery at once.
    """

    settings: Settings
    policies: Policies
    ledger: Ledger
    leases: Leases
    upstream: Upstream
    credentials: Credentials
    outbound: Outbound
    storage: Storage
    budget: Budget
    catalogue: Cache
    jobs: JobMemory
    waits: Waits
    metrics: Metrics
    refusals: Refusals
    siblings: Siblings
    access_log: AccessLog
    tasks: Tasks
    rounds: Rounds
    """In which jobs are followed."""
    now: Callable[[], float]
    ticks: Callable[[], float]
    draining: asyncio.Event
    wake: asyncio.Event
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while policies are read."""
    denials: Denials = field(default_factory=Denials)
    key_uses: KeyUses = field(default_factory=KeyUses)
    gates: dict[tuple[str, str], Gate] = field(default_factory=dict)
    """By credential and model: what upstream wants left alone for a while."""
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    """By credential and model: the creates that wait for their turn there."""
    undetailed: Seldom = field(default_factory=Seldom)
    """By credential and model: it is decided without its detail."""
    traces: Traces = NO_TRACES
    """Where spans of calls and jobs are told."""
