"""Whose turn it is to write to a SQLite file that several processes share.

SQLite lets those who find its lock taken sleep for longer and longer, so the one who has just let go takes it again,
and the others wait for seconds or give up. Here nobody is overtaken more than once: there is one place to wait in, and
whoever has written must go there behind the one who waits. Turns make it fair; what keeps the file whole is SQLite's
own lock, also where this one does not reach.
"""

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.ledger.faults import LedgerUnavailable

_WRITING, _NEXT = 0, 1
"""The two bytes that are locked: by the one who writes, and by the one who does so next."""

_LOOK_AGAIN = 0.0005
"""Seconds between two looks whether the turn has come: little beside the milliseconds of a commit."""


class Turn:
    """This process's turns to write to the file, each waited for at most `patience` seconds.

    Raises LedgerUnavailable, naming the file that is locked, if that cannot be used.
    """

    def __init__(self, file: str, patience: float) -> None:
        self._patience = patience
        path = Path(f"{file}-turn")
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise LedgerUnavailable(f"{path} cannot be used: {error.strerror}") from error

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within, it is this process's turn. Raises what SQLite does for a file that stays or cannot be locked."""
        deadline = time.monotonic() + self._patience
        self._lock(_NEXT, deadline)
        try:
            self._lock(_WRITING, deadline)
        finally:
            self._unlock(_NEXT)
        try:
            yield
        finally:
            self._unlock(_WRITING)

    def close(self) -> None:
        """Take no more turns. Closing again does nothing."""
        self._file.close()

    def _lock(self, byte: int, deadline: float) -> None:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise sqlite3.OperationalError("database is locked") from None
                time.sleep(_LOOK_AGAIN)
            except OSError as error:
                raise sqlite3.OperationalError(f"the turn to write cannot be had: {error.strerror}") from error
            else:
                return

    def _unlock(self, byte: int) -> None:
        """What was written is written, whether the system lets go or not: then the end of the next turn does."""
        with suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)
