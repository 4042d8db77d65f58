"""Real troubles for a running gateway's ledger, on and off as a test says."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

from sqlalchemy import Connection

from gateway.ledger.ledger import Ledger
from tests.conftest import House


def file_of(house: House) -> str:
    return house.gw.settings.ledger.removeprefix("sqlite:///")


async def on_writer(ledger: Ledger, statement: str) -> None:
    """Run a statement on the one connection that writes."""

    def run(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    await ledger._write("test", run)


@contextmanager
def held_by_another(path: str) -> Iterator[None]:
    """Another process, as far as SQLite can tell, is in the middle of a write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def no_writes(house: House) -> AsyncIterator[None]:
    """Every write fails at once; reads go on."""
    await on_writer(house.gw.ledger, "PRAGMA busy_timeout = 20")
    with held_by_another(file_of(house)):
        yield


async def fill_disk(house: House) -> Callable[[], Awaitable[None]]:
    """Let the ledger not grow by another page; what is returned lets it grow again."""
    await on_writer(house.gw.ledger, "PRAGMA max_page_count = 1")  # SQLite takes the present size for the least
    return lambda: on_writer(house.gw.ledger, "PRAGMA max_page_count = 1000000")
