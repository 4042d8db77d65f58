"""The ledger as a SQLite file: how it is opened, and when it is refused.

WAL lets reads go on beside the one writer; `synchronous=FULL` makes a commit survive a power cut, because what is
reserved must be known before upstream is called. Every write begins with BEGIN IMMEDIATE: a transaction that reads
first and writes later fails at once when another one wrote in between.
"""

import logging
import sqlite3
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.ledger.faults import FAULTS, RESTORE, LedgerUnavailable, unavailable
from gateway.ledger.migrate import UnknownSchema, migrate
from gateway.ledger.readers import READERS
from gateway.ledger.statement import driver_of
from gateway.ledger.values import Durability
from gateway.logs import log_event

BUSY_TIMEOUT = 2.0
"""Seconds a write waits for another process to let go of the file, then the ledger is unavailable."""

CHECK_FOR = 1.0
"""Seconds a start looks for damage. A file of some hundred thousand jobs is seen whole in that time."""

MIGRATION_TIMEOUT = 60.0
"""The same at start, when the other process may be migrating."""

_SYNCHRONOUS_FULL = 2

_NO_FOLDER = "make it, or point elsewhere with --ledger"
"""It is not made here: what is missing may be a disk that is not mounted, with the ledger on it."""


def prepare(url: URL) -> None:
    """Make the ledger fit for use: create it if it is missing, check it, bring its schema up to date.

    Raises LedgerUnavailable, naming the file and the reason, for one that is empty, damaged, cannot be written, was
    written by a newer gateway, or is no ledger at all, and for one whose folder is missing.
    """
    name, file = url.database, Path(str(url.database))
    if file.exists() and not file.stat().st_size:
        raise LedgerUnavailable(f"{name} is empty: put the ledger back, or remove the file to begin a new one")
    engine = writing_engine(url, MIGRATION_TIMEOUT)
    try:
        if not file.exists():
            _create(url, file)
            log_event(logging.WARNING, "ledger created, there was none", file=name)
        _enter_wal(engine, file)
        damage = _find_damage(engine)
        if damage is not None:
            raise LedgerUnavailable(f"{name} is damaged: {damage}: {RESTORE}")
        migrate(engine)
    except FAULTS as error:
        reason = unavailable(error) if file.parent.is_dir() else f"there is no folder {file.parent}: {_NO_FOLDER}"
        raise LedgerUnavailable(f"{name} cannot be used as the ledger: {reason}") from error
    except UnknownSchema as error:
        raise LedgerUnavailable(f"{name} {error}") from error
    finally:
        engine.dispose()


def _create(url: URL, file: Path) -> None:
    """Make a file that is there whole or not at all, whenever this process dies: an empty one is never a beginning."""
    made = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    engine = writing_engine(url.set(database=str(made)), MIGRATION_TIMEOUT)
    try:
        _enter_wal(engine, file)
        engine.dispose()
        with suppress(FileExistsError):  # another gateway was faster
            _put_in_place(made, file)
    finally:
        engine.dispose()
        made.unlink(missing_ok=True)


def _put_in_place(made: Path, file: Path) -> None:
    """Never in another's place: FileExistsError. Without hard links it is there first and whole a moment later."""
    try:
        file.hardlink_to(made)
    except FileExistsError:
        raise
    except OSError:
        with file.open("xb") as target:
            target.write(made.read_bytes())


def _find_damage(engine: Engine) -> str | None:
    """What is wrong with the file, as far as can be seen in `CHECK_FOR` seconds: a million jobs would take many.

    Damage further on is met where it is read: that call fails, and says so.
    """
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        enough = threading.Timer(CHECK_FOR, driver.interrupt)
        enough.start()
        try:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorname", "") != "SQLITE_INTERRUPT":
                raise
            log_event(logging.INFO, "ledger checked in part, it is large", file=engine.url.database)
            return None
        finally:
            enough.cancel()
            enough.join()
    return None if found == "ok" else str(found)


def exists(url: URL) -> bool:
    """Whether there is a file."""
    return Path(str(url.database)).exists()


def name_of(url: URL) -> str:
    """The ledger as messages name it: its file."""
    return str(url.database)


def durability(connection: Connection) -> Durability:
    """The mode the file remembers, and what every connection of a gateway asks for."""
    mode, synchronous = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")
    )
    full = synchronous >= _SYNCHRONOUS_FULL
    settings = f"journal_mode={mode}, synchronous={'FULL' if full else synchronous}"
    return Durability(settings, "" if mode == "wal" and full else "a power cut may lose what was committed")


def _enter_wal(engine: Engine, file: Path) -> None:
    """Switch the file to WAL, which it remembers. Raises LedgerUnavailable where that cannot be.

    Two that do it together get in each other's way here, and SQLite does not wait by itself.
    """
    began = time.monotonic()
    while True:
        try:
            if _switch_to_wal(engine) == "wal":
                return
            message = f"{file} lies on a file system that cannot hold a ledger: it must be a local one"
            raise LedgerUnavailable(message)
        except FAULTS as error:
            if "locked" not in str(unavailable(error)) or time.monotonic() - began > BUSY_TIMEOUT:
                raise
            time.sleep(0.02)


def _switch_to_wal(engine: Engine) -> str:
    connection = engine.raw_connection()  # SQLAlchemy would begin a transaction first, and inside one nothing switches
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        return "".join(cursor.fetchone() or ())
    finally:
        connection.close()


def writing_engine(url: URL, timeout: float = BUSY_TIMEOUT) -> Engine:
    """One connection that may write; `timeout` in seconds."""
    engine = create_engine(url, pool_size=1, max_overflow=0, connect_args={"timeout": timeout})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "connect", _speed_up)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reading_engine(url: URL) -> Engine:
    """Connections that cannot write, each transaction a snapshot of one instant."""
    engine = create_engine(url, pool_size=READERS, max_overflow=0, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "connect", _forbid_writes)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(driver: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    driver.isolation_level = None  # the driver begins no transactions of its own
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 67108864"):
        driver.execute(f"PRAGMA {pragma}")


def _speed_up(driver: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """What a group changes stays in memory until its commit, also what a savepoint would have to bring back."""
    for pragma in ("temp_store = MEMORY", "cache_size = -16384", "wal_autocheckpoint = 4000"):
        driver.execute(f"PRAGMA {pragma}")


def _forbid_writes(driver: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    driver.execute("PRAGMA query_only = ON")


def _begin_immediate(connection: Connection) -> None:
    driver_of(connection).execute("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    driver_of(connection).execute("BEGIN")
