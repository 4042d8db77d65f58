"""A limit in time on what tasks do, for a fraction of what `asyncio.timeout` costs a call."""

import asyncio
from typing import Any

import msgspec


class Deadline(msgspec.Struct, eq=False):
    """The end of one task's time. The task tells by `passed` whether a CancelledError is the deadline's.

    It must then not raise it.
    """

    task: "asyncio.Task[Any]"
    at: float
    passed: bool = False


class Deadlines:
    """Cancels tasks that have not ended `seconds` after they began.

    All get as long, so they pass in the order in which they began, and one timer waits for the first of them.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """The time of the task that runs begins."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        deadline = Deadline(task, loop.time() + self._seconds)
        self._waiting[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._pass)
        return deadline

    def end(self, deadline: Deadline) -> None:
        """The work is done, or has been broken off."""
        if deadline.passed:
            deadline.task.uncancel()
        else:
            del self._waiting[deadline]

    def close(self) -> None:
        """Wait for none any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _pass(self) -> None:
        """Cancel those whose time is over, and wait for the next one."""
        loop, self._timer = asyncio.get_running_loop(), None
        now = loop.time()
        for deadline in list(self._waiting):
            if deadline.at > now:
                self._timer = loop.call_at(deadline.at, self._pass)
                return
            del self._waiting[deadline]
            deadline.passed = True
            deadline.task.cancel()
