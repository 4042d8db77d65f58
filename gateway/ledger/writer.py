"""The one thread that writes to a SQLite file, many operations to a transaction.

A commit costs a disk flush whatever is in it, so the thread takes everything that waits, up to a batch, and commits it
together. Each operation stands in a savepoint of its own: one that is refused or fails takes back its own changes and
nobody else's. An answer is given only after the commit that made it durable.

An operation that was handed over runs, whatever becomes of the one who waits for it: its waiting is a future, and
cancelling a future does not reach into the queue.
"""

import asyncio
import logging
import queue
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from gateway.ledger.faults import FAULTS, LedgerUnavailable, unavailable
from gateway.ledger.operation import (
    APART,
    Operation,
    T,
    Together,
    Undo,
    Work,
    answer,
    do_together,
    groups_of,
    report_mistake,
)
from gateway.ledger.statement import driver_of
from gateway.ledger.turn import Turn
from gateway.logs import log_event, place_of

MOST_AT_ONCE = 256
"""Operations in one transaction."""

PROBE_EVERY = 1.0
"""Seconds between two attempts to write while the ledger is unavailable and nobody asks for anything."""

ROOM = 256 * 1024
"""Bytes that are free where a ledger that could not be written counts as well again: the few of a small write may fit
where those of a create do not.
"""


class Writer:
    """Runs operations in the order they are handed over.

    `healthy` says whether the last ones could be written, and since some could not, whether there is room for more.
    """

    def __init__(self, engine: Engine, turn: Turn) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._turn = turn
        self._waiting: queue.SimpleQueue[Operation[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._stopped = False
        self.healthy = True
        self._thread.start()

    def write(
        self,
        work: Work[T],
        again: Work[T] | None = None,
        _lane: str = "",
        together: Together[T] | None = None,
        _take_back: Work[Any] | None = None,
        /,
    ) -> asyncio.Future[T]:
        """Hand over an operation. The future gives its result once it is durable, or LedgerUnavailable.

        A file always says whether a commit took place, and all go one after the other, each waited for to its end:
        `again`, the lane and what would take it back change nothing here.
        """
        if self._stopped:
            raise LedgerUnavailable("the ledger is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.put(Operation(work, again, loop, future, together=together))
        return future

    def stop(self) -> None:
        """Finish what was handed over, then end the thread and its connection. Blocks until it has."""
        self._stopped = True
        self._waiting.put(None)
        self._thread.join()
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()
        self._turn.close()

    def _serve(self) -> None:
        while True:
            try:
                waiting = [self._waiting.get(timeout=None if self.healthy else PROBE_EVERY)]
            except queue.Empty:
                self._probe()
                continue
            self._gather(waiting)
            batch = _operations(waiting)
            if not self._commit(batch):
                self._gather(waiting)  # what came meanwhile fails as well: nobody waits for two timeouts
                for operation in _operations(waiting)[len(batch) :]:
                    operation.error = batch[0].error
            answer(_operations(waiting))
            if waiting[-1] is None:
                return

    def _gather(self, waiting: list[Operation[Any] | None]) -> None:
        """Add what waits right now, up to a batch, or to the None that `stop` puts last."""
        with suppress(queue.Empty):
            while waiting[-1] is not None and len(waiting) < MOST_AT_ONCE:
                waiting.append(self._waiting.get_nowait())

    def _commit(self, batch: list[Operation[Any]]) -> bool:
        """Run and commit the batch. False if the file could not be locked in time, so that nothing was tried.

        If the transaction is lost under way, each operation gets one of its own: SQLite gives up a whole transaction
        when the disk is full, and an operation that needs no space still succeeds then.
        """
        begun = False
        try:
            with self._turn.taken(), self._connected() as connection:
                connection.begin()
                begun = True
                for group in groups_of(batch):
                    _run_group(group, connection)
                connection.commit()
        except FAULTS as error:
            if begun and len(batch) > 1:
                for operation in batch:
                    self._commit([operation])
                return True
            for operation in batch:
                operation.error = unavailable(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told and the thread goes on
            log_event(logging.ERROR, "ledger writer failed", error=place_of(error))
            for operation in batch:
                operation.error = LedgerUnavailable(f"writing failed: {type(error).__name__}")
        written = not any(isinstance(operation.error, LedgerUnavailable) for operation in batch)
        self.healthy = written and (self.healthy or self._has_room())
        return begun

    def _probe(self) -> None:
        """Write a page that says nothing: a ledger nobody dares to use would otherwise never be found well again."""
        with suppress(Exception):
            with self._turn.taken(), self._connected() as connection, connection.begin():
                connection.exec_driver_sql("PRAGMA user_version = 1")
            self.healthy = self._has_room()

    def _has_room(self) -> bool:
        try:
            return shutil.disk_usage(Path(str(self._engine.url.database)).parent).free >= ROOM
        except OSError:  # the folder is gone
            return False

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """The one connection. It is given back where something failed, which takes back what it had begun.

        Else it is kept: to take it from the engine for each transaction costs as much as a small one.
        """
        connection = self._connection or self._engine.connect()
        self._connection = None
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._connection = connection


def _operations(waiting: list[Operation[Any] | None]) -> list[Operation[Any]]:
    return [operation for operation in waiting if operation is not None]


def _run_group(group: Sequence[Operation[Any]], connection: Connection) -> None:
    """Do the group in one go, and then by itself what was left out. Raises if the transaction itself is lost."""
    for operation in _run_together(group, connection) if len(group) > 1 else group:
        _run(operation, connection)


def _run_together(group: Sequence[Operation[Any]], connection: Connection) -> Sequence[Operation[Any]]:
    """Do the group in one go, if it can be. Those that are left out."""
    try:
        results = _in_savepoint(connection, partial(do_together, group))
    except Exception as fault:
        if not driver_of(connection).in_transaction:
            raise
        report_mistake(fault, FAULTS)
        return group
    for operation, result in zip(group, results, strict=True):
        operation.result, operation.error = result, None
    return [operation for operation in group if operation.result is APART]


def _run(operation: Operation[Any], connection: Connection) -> None:
    """Do one operation. Result and error are kept until the commit. Raises if the transaction itself is lost."""
    operation.result = operation.error = None
    try:
        operation.result = _in_savepoint(connection, operation.work)
    except Undo as undo:
        operation.result = undo.result
    except Exception as error:
        if not driver_of(connection).in_transaction:
            raise
        operation.error = unavailable(error) if isinstance(error, FAULTS) else error


def _in_savepoint(connection: Connection, work: Work[T]) -> T:
    """What `work` gives. What it did is taken back if it raises, and only that."""
    driver = driver_of(connection)
    driver.execute("SAVEPOINT operation")
    try:
        result = work(connection)
    except Exception:
        if driver.in_transaction:
            driver.execute("ROLLBACK TO operation")
            driver.execute("RELEASE operation")
        raise
    driver.execute("RELEASE operation")
    return result
