"""What is left to do when the event loop has run everything that is ready now: done together, like with like.

A write to a socket wakes whoever waits for it at the other end, which costs more than the write itself; of writes made
back to back only the first has somebody to wake, so an answer from memory costs a quarter less. And code that runs ten
times in a row is in the processor's cache nine times.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Afterwards:
    """What is to be done at the end of this turn of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Call `work` at the end of this turn, after what was added before."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._do_all)
        self._waiting.append(work)

    def _do_all(self) -> None:
        waiting = self._waiting
        try:
            while waiting:
                waiting.popleft()()
        finally:
            if waiting:  # one has failed, which is not the others' business
                asyncio.get_running_loop().call_soon(self._do_all)
