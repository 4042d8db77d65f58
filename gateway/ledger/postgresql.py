"""The ledger as a PostgreSQL database, which several gateways share.

Every session bounds how long it waits: a statement for two seconds, a lock for one, and a little, so that the server
has the time to tell a deadlock from a mere wait. A connection that went silent is given up by the kernel within as
long. What is committed is on disk, whatever the server's own setting.
"""

import logging
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.ledger.faults import FAULTS, LedgerUnavailable, LedgerUnreachable, driver_error, unavailable
from gateway.ledger.migrate import UnknownSchema, migrate, version_of
from gateway.ledger.readers import READERS
from gateway.ledger.values import Durability
from gateway.logs import log_event

WRITERS = 6
"""Connections that write, a few of them for groups, the others for what must be done by itself."""

PATIENCE = 1.8
"""Seconds after which whoever waits is told that the ledger is unavailable. What has begun is not stopped."""

MIGRATION_TIMEOUT = 60.0
"""Seconds a gateway that starts waits for another one that migrates."""

_MIGRATION_LOCK = 0x676D6967
"""The advisory lock of those who migrate; `gmig` in ASCII."""

_BOUNDS = """
SET statement_timeout = 2000;
SET lock_timeout = 1100;
SET idle_in_transaction_session_timeout = 5000;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')
"""
_READ_ONLY = """
SET default_transaction_isolation = 'repeatable read';
SET default_transaction_read_only = on
"""
_CONNECTING = {
    "connect_timeout": 2,
    "tcp_user_timeout": 1500,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "application_name": "gmi-gateway",
}
_UNREACHABLE = ("08", "53", "57P")
"""Classes of SQLSTATE that say nothing about the ledger but that its server is not there for us now."""


def prepare(url: URL) -> None:
    """Make the ledger fit for use: bring its schema up to date, one gateway at a time.

    Raises LedgerUnreachable while the server cannot be reached, and LedgerUnavailable for a database that was written
    by a newer gateway, is no ledger at all, or may not be used.
    """
    engine = _engine(url, 1)
    event.listen(engine, "connect", _wait_for_migration)
    event.listen(engine, "begin", _lock_migrations)
    try:
        if migrate(engine):
            log_event(logging.INFO, "ledger migrated", ledger=name_of(url))
    except FAULTS as error:
        kind = LedgerUnreachable if is_unreachable(error) else LedgerUnavailable
        raise kind(f"{name_of(url)} cannot be used as the ledger: {unavailable(error)}") from error
    except UnknownSchema as error:
        raise LedgerUnavailable(f"{name_of(url)} {error}") from error
    finally:
        engine.dispose()


def exists(url: URL) -> bool:
    """Whether the database holds a ledger. Raises LedgerUnavailable if that cannot be found out."""
    engine = inspecting_engine(url)
    try:
        with engine.connect() as connection:
            return version_of(connection) is not None
    except FAULTS as error:
        raise LedgerUnavailable(f"{name_of(url)} cannot be read: {unavailable(error)}") from error
    finally:
        engine.dispose()


def name_of(url: URL) -> str:
    """The ledger as messages name it: host and database, never user or password."""
    return f"{url.host or 'localhost'}/{url.database}"


def instant(connection: Connection) -> float:
    """The server's clock, unix seconds. It decides for all gateways alike, whatever their own say."""
    return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one())


def durability(connection: Connection) -> Durability:
    """The server's settings. `synchronous_commit` is asked for by every session of a gateway, whatever stands here."""
    wanted = ("fsync", "full_page_writes")
    found = {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in wanted}
    off = [name for name in wanted if found[name] != "on"]
    settings = ", ".join(f"{name}={value}" for name, value in found.items())
    return Durability(settings, f"{' and '.join(off)} off: a crash of the server may lose or damage it" if off else "")


def is_unreachable(error: BaseException) -> bool:
    """Whether the fault is that no connection could be had or kept. Connecting, PostgreSQL gives no code."""
    code = state_of(error)
    return code.startswith(_UNREACHABLE) if code else type(driver_error(error)).__name__ == "OperationalError"


def state_of(error: BaseException) -> str:
    """The SQLSTATE of a fault; empty if it came from no server."""
    return getattr(driver_error(error), "sqlstate", None) or ""


def writing_engine(url: URL) -> Engine:
    """Connections that may write. Every transaction sees what was committed before each of its statements."""
    engine = _engine(url, WRITERS)
    event.listen(engine, "connect", _bound)
    return engine


def reading_engine(url: URL) -> Engine:
    """Connections that cannot write, each transaction a snapshot of one instant."""
    engine = _engine(url, READERS)
    event.listen(engine, "connect", _bound)
    event.listen(engine, "connect", _forbid_writes)
    return engine


def inspecting_engine(url: URL) -> Engine:
    """The same for commands, without a bound on how long a statement takes: adding up a year does."""
    engine = _engine(url, 1)
    event.listen(engine, "connect", _forbid_writes)
    return engine


def _engine(url: URL, connections: int) -> Engine:
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            paramstyle="format",
            use_native_hstore=False,
            connect_args=_CONNECTING,
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise LedgerUnavailable("PostgreSQL needs its driver: install gmi-gateway[postgresql]") from None


def _bound(driver: Any, _entry: ConnectionPoolEntry) -> None:
    _set(driver, _BOUNDS)


def _forbid_writes(driver: Any, _entry: ConnectionPoolEntry) -> None:
    _set(driver, _READ_ONLY)


def _wait_for_migration(driver: Any, _entry: ConnectionPoolEntry) -> None:
    _set(driver, f"SET lock_timeout = {MIGRATION_TIMEOUT * 1000:.0f}")


def _lock_migrations(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")


def _set(driver: Any, settings: str) -> None:
    driver.autocommit = True
    driver.execute(settings)
    driver.autocommit = False
