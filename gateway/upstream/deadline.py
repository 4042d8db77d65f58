"""A limit in time on what a task does, for a fraction of what `asyncio.timeout` costs a call."""

import asyncio


class Deadline:
    """Cancels the task that makes it once some seconds have passed, unless ended before.

    The task tells by `passed` whether a CancelledError is the deadline's, and must then not raise it.
    """

    __slots__ = ("_task", "_timer", "passed")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.passed = False
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(seconds, self._pass)

    def end(self) -> None:
        """The work is done, or has been broken off."""
        self._timer.cancel()
        if self.passed:
            self._task.uncancel()

    def _pass(self) -> None:
        self.passed = True
        self._task.cancel()
