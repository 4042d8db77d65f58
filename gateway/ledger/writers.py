"""The threads that write to PostgreSQL, operations of one kind together in one transaction where they can be.

A transaction costs the server a disk flush and this process several round trips, whatever is in it. So while one with
creates is under way, those that come meanwhile wait and go together in the next; the same for marks and placements.
Nothing of that may tie teams together: a group waits but a moment for a lock, and what cannot be done with it is done
by itself, behind its own lane alone. Operations of one lane, which are one team's creates, would wait for each other's
counters anyway, and so a team whose counters are locked keeps one connection and nobody else. It goes apart from the
groups until it succeeds again.

A transaction takes counters in the order of their names, whichever gateway runs it, so two never wait for each other
in a circle; should they do so over something else, the loser is tried again.

A connection can be lost while it commits, and then nobody knows whether it did. What is tried after that is `again`,
which every operation that can be repeated brings along: it finds out first.
"""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine

from gateway.ledger.faults import FAULTS, LedgerUnavailable, unavailable
from gateway.ledger.operation import APART, Operation, T, Together, Undo, Work, answer, do_together, report_mistake
from gateway.ledger.postgresql import PATIENCE, WRITERS, state_of
from gateway.ledger.statement import driver_of

MOST_AT_ONCE = 64
"""Operations in one transaction: more would only hold their locks for longer."""

GROUPS = 2
"""Connections for what is done together; the others are for what is not."""

GROUP_PATIENCE = 0.2
"""Seconds a group waits for a lock, which is how long a team whose counters are locked can hold up others."""

RETRIES = 3
"""Times an operation is tried again that lost its connection or a conflict with another."""

_PAUSE = 0.1
"""Seconds before the first retry, at most; each further one up to twice as long. The jitter parts those in conflict."""

_CONFLICTS = ("40001", "40P01", "23505")
"""Serialization failure, deadlock, and a row that is there already: an attempt whose connection was lost has only now
been committed.
"""

_LOCKED = ("55P03", "57014")
"""A lock was not to be had in time, or the statement did not end in time."""

_TOO_BUSY = "the ledger is too busy"
"""What an operation comes to that nobody waits for any more when its turn comes."""

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
        self._alone = ThreadPoolExecutor(WRITERS - GROUPS, thread_name_prefix="ledger-writer")
        self._grouped = ThreadPoolExecutor(GROUPS, thread_name_prefix="ledger-group-writer")
        self._own = threading.local()
        self._connections: set[Connection] = set()
        self._lanes: dict[str, deque[Operation[Any]]] = {}
        self._groups: dict[object, deque[Operation[Any]]] = {}
        self._locked: set[str] = set()
        self._guard = threading.Condition()
        self._unfinished = 0
        self._stopped = False
        self.healthy = True

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

        It runs whatever becomes of the one who waits for it: `together` with others, or in the order of its `lane`, or
        without one beside all else. Where it may be done although its future told otherwise, `take_back` follows.
        """
        if self._stopped:
            raise LedgerUnavailable("the ledger is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        giving_up = loop.call_later(PATIENCE, _give_up, future)
        future.add_done_callback(lambda _: giving_up.cancel())
        operation = Operation(work, again, loop, future, lane, together, time.monotonic() + PATIENCE)
        if take_back is not None:
            operation.take_back = partial(self._take_back, take_back)
        with self._guard:
            self._unfinished += 1
            if together is None or lane in self._lanes or lane in self._locked:
                self._queue_alone(operation)
            else:
                self._queue_with_others(operation, together.all_of)
        return future

    def _take_back(self, work: Work[Any]) -> None:
        """If that cannot be done either, it lapses like what a gateway that is gone had reserved."""
        with suppress(LedgerUnavailable):
            self.write(work, work).add_done_callback(lambda done: done.cancelled() or done.exception())

    def stop(self) -> None:
        """Finish what was handed over, then end the threads and their connections. Blocks until they have."""
        with self._guard:
            self._stopped = True
            self._guard.wait_for(lambda: not self._unfinished)
        self._grouped.shutdown()
        self._alone.shutdown()
        for connection in self._connections:
            connection.close()
        self._engine.dispose()

    def _queue_with_others(self, operation: Operation[Any], kind: object) -> None:
        if kind not in self._groups:
            self._groups[kind] = deque()
            self._grouped.submit(self._serve_group, kind)
        self._groups[kind].append(operation)

    def _queue_alone(self, operation: Operation[Any]) -> None:
        if operation.lane in self._lanes:
            self._lanes[operation.lane].append(operation)
            return
        if operation.lane:
            self._lanes[operation.lane] = deque()
        self._alone.submit(self._serve, operation)

    def _serve(self, operation: Operation[Any]) -> None:
        """Carry out one operation. The next of its lane queues up behind the other lanes: all get their turn."""
        self._carry_out(operation)
        with self._guard:
            self._finish([operation])
            waiting = self._lanes.get(operation.lane)
            if waiting:
                self._alone.submit(self._serve, waiting.popleft())
            else:
                self._lanes.pop(operation.lane, None)

    def _serve_group(self, kind: object) -> None:
        """Carry out what waits of one kind. The next group of the kind queues up behind the other kinds."""
        with self._guard:
            waiting = self._groups[kind]
            group = [waiting.popleft() for _ in range(min(len(waiting), MOST_AT_ONCE))]
        now = time.monotonic()
        in_time = [operation for operation in group if now <= operation.expires]
        for operation in set(group).difference(in_time):
            operation.error = LedgerUnavailable(_TOO_BUSY)
        apart = self._carry_out_together(in_time) if in_time else []
        done = set(group).difference(apart)
        with self._guard:
            self._finish([operation for operation in group if operation in done])
            for operation in apart:
                self._queue_alone(operation)
            if waiting:
                self._grouped.submit(self._serve_group, kind)
            else:
                del self._groups[kind]

    def _finish(self, operations: list[Operation[Any]]) -> None:
        answer(operations)
        self._unfinished -= len(operations)
        self._guard.notify_all()

    def _carry_out_together(self, group: list[Operation[Any]]) -> list[Operation[Any]]:
        """Attempt the group, once more if its connection was gone. Those that must be done by themselves."""

        def work(connection: Connection) -> Sequence[Any]:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {GROUP_PATIENCE * 1000:.0f}")
            return do_together(group, connection)

        try:
            try:
                results = self._attempt(work, *group)
            except _Lost as lost:
                if lost.doubtful or state_of(lost.fault) in _CONFLICTS:
                    raise
                results = self._attempt(work, *group)
        except _Lost as lost:
            for operation in group:
                operation.error, operation.doubtful = unavailable(lost.fault), lost.doubtful
            return group
        except Exception as error:  # noqa: BLE001 - whoever it came from meets it again alone
            report_mistake(error, self._faults)
            if state_of(error) in _LOCKED:
                with self._guard:
                    self._locked |= {operation.lane for operation in group if operation.lane}
            return group
        for operation, result in zip(group, results, strict=True):
            operation.result, operation.error = result, None
        return [operation for operation in group if operation.result is APART]

    def _carry_out(self, operation: Operation[Any]) -> None:
        """Attempt the operation until it is done, may not be repeated, or nobody waits for it any more."""
        while operation.attempts <= RETRIES:
            work = operation.again if operation.doubtful else operation.work
            if work is None:
                return
            if operation.error is not None:
                pause = random.uniform(0.1, 0.5) * _PAUSE * 2**operation.attempts  # noqa: S311 - jitter, no secret
                time.sleep(pause)
            if time.monotonic() > operation.expires:
                operation.error = operation.error or LedgerUnavailable(_TOO_BUSY)
                return
            try:
                operation.result = self._attempt(work, operation)
            except _Lost as lost:
                operation.error = unavailable(lost.fault)
                operation.doubtful = operation.doubtful or lost.doubtful
            except Exception as error:  # noqa: BLE001 - an operation fails alone
                operation.error = unavailable(error) if isinstance(error, self._faults) else error
                return
            else:
                operation.error = None
                self._locked.discard(operation.lane)
                return

    def _attempt(self, work: Work[T], *operations: Operation[Any]) -> T:
        """One transaction, an attempt at each of these operations. Raises _Lost if it may be tried again."""
        for operation in operations:
            operation.attempts += 1
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
        late = LedgerUnavailable("the ledger does not answer")
        late.may_be_done = True
        future.set_exception(late)
