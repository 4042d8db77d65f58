import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection

from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.postgresql import PATIENCE
from gateway.ledger.readers import Readers
from gateway.ledger.statement import driver_of
from tests.ledger.samples import run_sql
from tests.postgres import Server
from tests.postgres_proxy import Proxy, proxy

__all__ = ["proxy"]


@pytest.fixture
async def remote(postgres: Server, proxy: Proxy) -> AsyncIterator[Readers]:
    """Readers of an empty ledger on a server, through the proxy."""
    url = ledger_url(proxy.url(postgres.ledger()))
    readers = backend_of(url).readers(url)
    yield readers
    await asyncio.to_thread(readers.stop)


def count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM counters").scalar_one())


def count_directly(connection: Connection) -> int:
    """The same past SQLAlchemy, as the ledger's own statements do it."""
    cursor = driver_of(connection).cursor()
    cursor.execute("SELECT count(*) FROM counters")
    return int((cursor.fetchone() or (0,))[0])


async def test_what_is_read_is_one_instant(url: str) -> None:
    parsed = ledger_url(url)
    backend_of(parsed).prepare(parsed)
    readers = backend_of(parsed).readers(parsed)

    def twice(connection: Connection) -> tuple[int, int]:
        first = count(connection)
        run_sql(url, "INSERT INTO counters VALUES ('c', 1, NULL, false, NULL)")
        return first, count(connection)

    assert await readers.read(twice) == (0, 0)
    assert await readers.read(count) == 1
    await asyncio.to_thread(readers.stop)


@pytest.mark.parametrize("read", [count, count_directly])
async def test_le5_a_connection_that_was_cut_is_replaced_unseen(remote: Readers, proxy: Proxy, read: object) -> None:
    assert callable(read)
    assert await asyncio.gather(*(remote.read(read) for _ in range(4))) == [0, 0, 0, 0]
    await proxy.cut()
    await proxy.listen()
    assert await asyncio.gather(*(remote.read(read) for _ in range(4))) == [0, 0, 0, 0]


@pytest.mark.parametrize("read", [count, count_directly])
async def test_le5_a_server_that_is_gone_is_unavailable(remote: Readers, proxy: Proxy, read: object) -> None:
    assert callable(read)
    await remote.read(read)
    await proxy.cut()
    with pytest.raises(LedgerUnavailable):
        await remote.read(read)


async def test_le5_a_server_that_says_nothing_is_not_waited_for(remote: Readers, proxy: Proxy) -> None:
    await remote.read(count)
    proxy.flowing.clear()
    began = time.perf_counter()
    with pytest.raises(LedgerUnavailable, match="the ledger does not answer"):
        await remote.read(count)
    assert PATIENCE <= time.perf_counter() - began < 2
    proxy.flowing.set()


async def test_a_fault_past_sqlalchemy_is_told_in_the_same_words(remote: Readers) -> None:
    def wrong(connection: Connection) -> None:
        driver_of(connection).cursor().execute("SELECT * FROM nothing")

    with pytest.raises(LedgerUnavailable) as caught:
        await remote.read(wrong)
    assert str(caught.value) == 'relation "nothing" does not exist'
    assert await remote.read(count) == 0
