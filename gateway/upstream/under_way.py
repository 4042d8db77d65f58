"""The calls to upstream that are under way: so many and no more, some of them with nobody waiting for them."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.core.errors import Code
from gateway.upstream.answer import Answer
from gateway.upstream.failures import Sent, UpstreamFailure
from gateway.upstream.intake import Intake


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds a call may take in total, a create apart, how many may be under way, and the bytes of their answers.

    The transport's own limit must be higher: a call never waits for a connection.
    """

    timeout: float = 30.0
    create_timeout: float = 300.0
    in_flight: int = 2000
    answers: int = 256 * 1024**2


class UnderWay:
    """No more calls than the limits allow, whose answers are read at most so many bytes of at once.

    `reads` are those that end with the task of whoever asks: the client counts them itself.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.in_flight
        self.intake = Intake(limits.answers)
        self.reads = 0
        self.tasks: set[asyncio.Task[Answer]] = set()

    def __len__(self) -> int:
        return self.reads + len(self.tasks)

    def check(self, share: float) -> None:
        """Raises UpstreamFailure if as much as this share of what is allowed is under way."""
        if self.reads + len(self.tasks) >= self._most * share:
            raise UpstreamFailure(
                Sent.NEVER, Code.OVERLOADED, "Too many calls to upstream are under way; try again.", retry_after=1
            )

    async def run_to_its_end(self, call: Coroutine[Any, Any, Answer], name: str) -> Answer:
        """Start the call and wait for it. It goes on when the one who waits is cancelled."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(call, name=name)
        self.tasks.add(task)
        ended: asyncio.Future[None] = loop.create_future()
        task.add_done_callback(partial(self._finished, ended))
        await ended
        return task.result()

    async def break_off(self) -> None:
        """Cancel what has a task of its own."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _finished(self, ended: asyncio.Future[None], task: asyncio.Task[Answer]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the one who waited may be gone; then the failure is nobody's
        if not ended.done():
            ended.set_result(None)
