"""One piece of work handed to a writing thread, and the way its result comes back."""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]


class Undo(Exception):  # noqa: N818 - a way out, not a mistake
    """Raised inside an operation to take back what it did so far and still answer `result`."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


@dataclass(eq=False, slots=True)
class Operation(Generic[T]):
    """One piece of work, and who waits for its result where.

    `again` is done instead of `work` when nobody knows whether an earlier attempt was committed; None forbids it.
    After `expires`, on the monotonic clock, nobody waits any more and no attempt is begun.
    """

    work: Work[T]
    again: Work[T] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    expires: float = math.inf
    result: Any = None
    error: Exception | None = None

    def answer(self) -> None:
        """Tell the one who waits, in their loop, unless they went away."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writing(Protocol):
    """What runs operations. `healthy` says whether the database could be written to when it was last tried."""

    healthy: bool

    def write(self, work: Work[T], again: Work[T] | None = None, lane: str = "", /) -> asyncio.Future[T]:
        """Hand over an operation. The future gives its result once it is durable, or LedgerUnavailable.

        It runs, whatever becomes of the one who waits for it. Operations of one lane run one after the other.
        """

    def stop(self) -> None:
        """Finish what was handed over and let go of the database. Blocks until that is done."""


def answer(operations: Sequence[Operation[Any]]) -> None:
    """Wake each loop once for all its operations."""
    for loop in {operation.loop for operation in operations}:
        answers = [operation.answer for operation in operations if operation.loop is loop]
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who waited there
            loop.call_soon_threadsafe(_call_all, answers)


def _call_all(answers: list[Callable[[], None]]) -> None:
    for each in answers:
        each()
