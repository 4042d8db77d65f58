"""The threads that read, each time a snapshot of one instant."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from gateway.ledger.faults import FAULTS, LedgerUnavailable, unavailable
from gateway.ledger.operation import T, Work

READERS = 4
"""More would only wait for the interpreter."""


class Readers:
    """Runs `work` on connections of `engine`. After `patience` seconds, if given, nobody waits for it any more."""

    def __init__(self, engine: Engine, patience: float | None) -> None:
        self._engine = engine
        self._patience = patience
        self._faults = (*FAULTS, engine.dialect.loaded_dbapi.Error)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-reader")

    async def read(self, work: Work[T]) -> T:
        """What `work` finds. Raises LedgerUnavailable."""
        reading = asyncio.get_running_loop().run_in_executor(self._threads, self._carry_out, work)
        try:
            async with asyncio.timeout(self._patience):
                return await reading
        except TimeoutError:
            raise LedgerUnavailable("the ledger does not answer") from None

    def stop(self) -> None:
        """Finish what was begun, and end the threads and their connections. Blocks until they have."""
        self._threads.shutdown()
        self._engine.dispose()

    def _carry_out(self, work: Work[T]) -> T:
        try:
            return self._attempt(work)
        except self._faults as error:
            if not getattr(error, "connection_invalidated", False):
                raise unavailable(error) from error
        try:  # the server was restarted, and every connection kept since is as dead as that one
            return self._attempt(work)
        except self._faults as error:
            raise unavailable(error) from error

    def _attempt(self, work: Work[T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)
