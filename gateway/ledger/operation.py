"""One piece of work handed to a writing thread, and the way its result comes back."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from gateway.ledger.faults import LedgerUnavailable
from gateway.logs import log_event, place_of

T = TypeVar("T")
Work = Callable[[Connection], T]


class Separate(Exception):  # noqa: N818 - a way out, not a mistake
    """Raised where operations are done together, to take back all of it and have each done by itself."""


class Undo(Exception):  # noqa: N818 - a way out, not a mistake
    """Raised inside an operation to take back what it did so far and still answer `result`."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


class Apart:
    """Stands for a result: this operation was left out, and must be done by itself."""


APART = Apart()


@dataclass(frozen=True, slots=True)
class Together(Generic[T]):
    """How an operation is done in one go with others, at a fraction of the cost.

    `all_of` is the same function for all that go together. It gets their items, no two of which may depend on each
    other, and gives each one's result, or APART. What it raises takes back all of them, and each is done by itself.
    """

    all_of: Callable[[Connection, Sequence[Any]], Sequence[T | Apart]]
    item: Any


@dataclass(eq=False, slots=True)
class Operation(Generic[T]):
    """One piece of work, and who waits for its result where.

    Operations of one `lane` are done one after the other, unless they are done `together`. Once it is `doubtful`,
    because nobody knows whether an earlier attempt was committed, `again` is done instead of `work`; None forbids it.
    After `expires`, on the monotonic clock, nobody waits any more and no attempt is begun. `take_back` is called where
    the one who waits was told that it is not done, and it may be.
    """

    work: Work[T]
    again: Work[T] | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    lane: str = ""
    together: Together[T] | None = None
    expires: float = math.inf
    take_back: Callable[[], None] | None = None
    doubtful: bool = False
    attempts: int = 0
    """By itself and together with others."""
    result: Any = None
    error: Exception | None = None

    def answer(self) -> None:
        """Tell the one who waits, in their loop, unless they went away."""
        if not self.future.done():
            self._tell()
        may_be_done = self.error is None or self.doubtful
        if self.take_back is not None and may_be_done and self._was_denied():
            self.take_back()

    def _tell(self) -> None:
        if self.error is not None:
            if isinstance(self.error, LedgerUnavailable):
                self.error.may_be_done = self.doubtful
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)

    def _was_denied(self) -> bool:
        """Whether the one who waited was told that it is not done. Who went away was told nothing."""
        return not self.future.cancelled() and self.future.exception() is not None


class Writing(Protocol):
    """What runs operations. `healthy` says whether the database could be written to when it was last tried."""

    healthy: bool

    def write(
        self,
        work: Work[T],
        again: Work[T] | None = None,
        lane: str = "",
        together: Together[T] | None = None,
        take_back: Work[Any] | None = None,
        /,
    ) -> asyncio.Future[T]:
        """Hand over an operation. The future gives its result once it is durable, or LedgerUnavailable.

        It runs, whatever becomes of the one who waits for it. Operations of one lane run one after the other, or
        `together`. `take_back` is done after one that may be done although that is not what was told.
        """

    def stop(self) -> None:
        """Finish what was handed over and let go of the database. Blocks until that is done."""


def groups_of(operations: Iterable[Operation[Any]]) -> list[list[Operation[Any]]]:
    """What can be done together, each group where its first stood; all else by itself."""
    groups: dict[object, list[Operation[Any]]] = {}
    for operation in operations:
        kind = operation if operation.together is None else operation.together.all_of
        groups.setdefault(kind, []).append(operation)
    return list(groups.values())


def do_together(group: Sequence[Operation[T]], connection: Connection) -> Sequence[T | Apart]:
    """Do a group in one go: each one's result, or APART."""
    parts = [operation.together for operation in group if operation.together is not None]
    return parts[0].all_of(connection, [part.item for part in parts])


def do_each(connection: Connection, works: Sequence[Work[T]]) -> list[T]:
    """Do small operations as they are, one after the other: a way together for those that wait for no team's rows."""
    return [work(connection) for work in works]


def report_mistake(fault: Exception, foreseen: tuple[type[Exception], ...]) -> None:
    """Log why a group was not done in one go, unless it asked for that or it is a fault of a database, as foreseen.

    Each is done by itself then, and nothing but the time it takes would show the mistake.
    """
    if not isinstance(fault, (Separate, *foreseen)):
        log_event(logging.ERROR, "ledger operations done apart", error=place_of(fault))


def answer(operations: Sequence[Operation[Any]]) -> None:
    """Wake each loop once for all its operations."""
    for loop in {operation.loop for operation in operations}:
        answers = [operation.answer for operation in operations if operation.loop is loop]
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who waited there
            loop.call_soon_threadsafe(_call_all, answers)


def _call_all(answers: list[Callable[[], None]]) -> None:
    for each in answers:
        each()


@contextmanager
def measured(name: str, timed: Callable[[str, float], None] | None) -> Iterator[None]:
    """Tell `timed` how many seconds the operation of this name took, however it ends."""
    began = time.perf_counter()
    try:
        yield
    finally:
        if timed is not None:
            timed(name, time.perf_counter() - began)
