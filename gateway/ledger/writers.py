"""The threads that write to PostgreSQL, one transaction to an operation.

Operations of one lane, which are one team's creates, run one after the other: they would wait for each other's
counters anyway, and so a team whose counters are locked keeps one connection and nobody else. A transaction takes
counters in the order of their names, whichever gateway runs it, so two never wait for each other in a circle; should
they do so over something else, the loser is tried again.

A connection can be lost while it commits, and then nobody knows whether it did. What is tried after that is `again`,
which every operation that can be repeated brings along: it finds out first.
"""

import asyncio
import random
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine

from gateway.ledger.faults import FAULTS, LedgerUnavailable, unavailable
from gateway.ledger.operation import Operation, T, Undo, Work, answer
from gateway.ledger.postgresql import PATIENCE, WRITERS, state_of
from gateway.ledger.statement import driver_of

RETRIES = 3
"""Times an operation is tried again that lost its connection or a conflict with another."""

_PAUSE = 0.1
"""Seconds before the first retry, at most; each further one up to twice as long. The jitter parts those in conflict."""

_CONFLICTS = ("40001", "40P01", "23505")
"""Serialization failure, deadlock, and a row that is there already: an attempt whose connection was lost has only now
been committed.
"""

_READ_ONLY = "25006"
"""The server is a standby: after a failover the primary answers under the same address."""


class _Lost(Exception):  # noqa: N818 - not a mistake, but what became of an attempt
    """An attempt that may be made again. `doubtful` if it may have been committed all the same."""

    def __init__(self, fault: BaseException, *, doubtful: bool = False) -> None:
        super().__init__()
        self.fault = fault
        self.doubtful = doubtful


class Writers:
    """Runs operations on several connections. `healthy` says whether the server could be written to lately."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._faults = (*FAULTS, engine.dialect.loaded_dbapi.Error)
        self._threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="ledger-writer")
        self._own = threading.local()
        self._connections: set[Connection] = set()
        self._lanes: dict[str, deque[Operation[Any]]] = {}
        self._guard = threading.Lock()
        self._stopped = False
        self.healthy = True

    def write(self, work: Work[T], again: Work[T] | None = None, lane: str = "", /) -> asyncio.Future[T]:
        """Hand over an operation. The future gives its result once it is durable, or LedgerUnavailable.

        It runs whatever becomes of the one who waits for it, in the order of its `lane`; without one, beside all else.
        """
        if self._stopped:
            raise LedgerUnavailable("the ledger is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        giving_up = loop.call_later(PATIENCE, _give_up, future)
        future.add_done_callback(lambda _: giving_up.cancel())
        operation = Operation(work, again, loop, future, time.monotonic() + PATIENCE)
        with self._guard:
            if lane in self._lanes:
                self._lanes[lane].append(operation)
            else:
                self._begin(lane, operation)
        return future

    def stop(self) -> None:
        """Finish what was handed over, then end the threads and their connections. Blocks until they have."""
        with self._guard:
            self._stopped = True
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()
        self._engine.dispose()

    def _begin(self, lane: str, operation: Operation[Any]) -> None:
        if lane:
            self._lanes.setdefault(lane, deque())
        self._threads.submit(self._serve, lane, operation)

    def _serve(self, lane: str, operation: Operation[Any]) -> None:
        """Carry out one operation. The next of its lane queues up behind the other lanes: all get their turn."""
        following: Operation[Any] | None = operation
        while following is not None:
            self._carry_out(following)
            answer([following])
            with self._guard:
                waiting = self._lanes.get(lane)
                following = waiting.popleft() if waiting else None
                if following is None:
                    self._lanes.pop(lane, None)
                elif not self._stopped:
                    self._begin(lane, following)
                    return

    def _carry_out(self, operation: Operation[Any]) -> None:
        """Attempt the operation until it is done, may not be repeated, or nobody waits for it any more."""
        work = operation.work
        for attempt in range(1 + RETRIES):
            if attempt:
                time.sleep(random.uniform(0.1, 0.5) * _PAUSE * 2**attempt)  # noqa: S311 - jitter, no secret
            if time.monotonic() > operation.expires:
                operation.error = operation.error or LedgerUnavailable("the ledger is too busy")
                return
            try:
                operation.result = self._attempt(work)
            except _Lost as lost:
                operation.error = unavailable(lost.fault)
                if lost.doubtful:
                    if operation.again is None:
                        return
                    work = operation.again
            except Exception as error:  # noqa: BLE001 - an operation fails alone
                operation.error = unavailable(error) if isinstance(error, self._faults) else error
                return
            else:
                operation.error = None
                return

    def _attempt(self, work: Work[T]) -> T:
        """One transaction. Raises _Lost if it may be tried again."""
        connection = self._connected()
        committing = False
        try:
            with connection.begin():
                result = work(connection)
                committing = True
        except Undo as undo:
            return undo.result  # type: ignore[return-value]  # what `work` itself would have returned
        except self._faults as error:
            if connection.invalidated or driver_of(connection).closed or state_of(error) == _READ_ONLY:
                self._let_go(connection)
                self.healthy = self.healthy and state_of(error) != _READ_ONLY
                raise _Lost(error, doubtful=committing) from error
            if state_of(error) in _CONFLICTS:
                raise _Lost(error) from error
            raise
        self.healthy = True
        return result

    def _connected(self) -> Connection:
        """This thread's own connection."""
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            try:
                connection = self._own.connection = self._engine.connect()
            except self._faults as error:
                was_healthy, self.healthy = self.healthy, False
                if was_healthy:
                    raise _Lost(error) from error
                raise  # others wait for this thread, and would learn no more
            self._connections.add(connection)
        return connection

    def _let_go(self, connection: Connection) -> None:
        self._own.connection = None
        self._connections.discard(connection)
        connection.invalidate()
        connection.close()


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(LedgerUnavailable("the ledger does not answer"))
