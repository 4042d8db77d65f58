import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from gateway.ledger import writer as writing
from gateway.ledger.engine import ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.operation import Together, Undo
from gateway.ledger.sqlite import BUSY_TIMEOUT, writing_engine
from gateway.ledger.turn import Turn
from gateway.ledger.writer import Writer


@pytest.fixture
async def writer(file: Path) -> AsyncIterator[Writer]:
    engine = writing_engine(ledger_url(f"sqlite:///{file}"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE lines (line TEXT PRIMARY KEY)")
    writer = Writer(engine, Turn(str(file), BUSY_TIMEOUT))
    yield writer
    await asyncio.to_thread(writer.stop)


def add(connection: Connection, line: str) -> str:
    connection.exec_driver_sql("INSERT INTO lines VALUES (?)", (line,))
    return line


def lines(connection: Connection) -> list[str]:
    return [line for (line,) in connection.exec_driver_sql("SELECT line FROM lines ORDER BY line")]


def is_healthy(writer: Writer) -> bool:
    return writer.healthy


def hold_back(connection: Connection) -> None:
    """Keeps the thread busy, so that what follows becomes one batch."""
    time.sleep(0.05)


async def test_an_answer_is_given_after_the_commit(writer: Writer, file: Path) -> None:
    assert await writer.write(lambda connection: add(connection, "a")) == "a"
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT line FROM lines").fetchall() == [("a",)]
    other.close()


async def test_what_waits_is_committed_together_and_in_order(writer: Writer) -> None:
    commits: list[Connection] = []
    event.listen(writer._engine, "commit", commits.append)
    busy, go_on = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        busy.set()
        go_on.wait(10)

    holding = writer.write(hold)
    await asyncio.to_thread(busy.wait, 10)
    waiting = [writer.write(partial(add, line=f"{number:03}")) for number in range(100)]
    go_on.set()
    await asyncio.gather(*waiting, holding)
    ordered = "SELECT line FROM lines ORDER BY rowid"
    found = await writer.write(lambda connection: connection.exec_driver_sql(ordered).scalars().all())
    assert found == [f"{number:03}" for number in range(100)]
    assert len(commits) == 3


async def test_one_that_undoes_itself_takes_nobody_with_it(writer: Writer) -> None:
    def refuse(connection: Connection) -> str:
        add(connection, "undone")
        raise Undo("no room")

    results = await asyncio.gather(
        writer.write(hold_back),
        writer.write(lambda connection: add(connection, "a")),
        writer.write(refuse),
        writer.write(lambda connection: add(connection, "b")),
    )
    assert list(results) == [None, "a", "no room", "b"]
    assert await writer.write(lines) == ["a", "b"]
    assert writer.healthy


async def test_one_that_fails_takes_nobody_with_it(writer: Writer) -> None:
    def stumble(connection: Connection) -> str:
        add(connection, "undone")
        raise ZeroDivisionError

    results = await asyncio.gather(
        writer.write(hold_back),
        writer.write(lambda connection: add(connection, "a")),
        writer.write(stumble),
        writer.write(lambda connection: add(connection, "a")),
        writer.write(lambda connection: add(connection, "b")),
        return_exceptions=True,
    )
    assert results[1] == "a"
    assert isinstance(results[2], ZeroDivisionError)
    assert isinstance(results[3], LedgerUnavailable)
    assert str(results[3]) == "UNIQUE constraint failed: lines.line"
    assert await writer.write(lines) == ["a", "b"]


async def test_a_mistake_in_doing_several_at_once_is_logged_and_costs_none_of_them(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def all_of(_: Connection, __: Sequence[None]) -> list[str]:
        raise KeyError("canary")

    group: Together[str] = Together(all_of, None)
    with caplog.at_level("ERROR", "gateway"):
        busy = writer.write(hold_back)
        works = [partial(add, line=line) for line in "ab"]
        assert await asyncio.gather(*(writer.write(work, None, "", group) for work in works)) == ["a", "b"]
        await busy
    assert [record.getMessage() for record in caplog.records] == ["ledger operations done apart"]


async def test_one_that_loses_the_transaction_leaves_the_others_theirs(writer: Writer) -> None:
    def lose(connection: Connection) -> None:
        add(connection, "lost")
        connection.connection.driver_connection.execute("ROLLBACK")  # type: ignore[union-attr]
        raise sqlite3.OperationalError("database or disk is full")

    results = await asyncio.gather(
        writer.write(hold_back),
        writer.write(lambda connection: add(connection, "a")),
        writer.write(lose),
        writer.write(lambda connection: add(connection, "b")),
        return_exceptions=True,
    )
    assert [results[1], results[3]] == ["a", "b"]
    assert isinstance(results[2], LedgerUnavailable)
    assert str(results[2]) == "database or disk is full"
    assert await writer.write(lines) == ["a", "b"]


async def test_ac3_it_is_done_though_nobody_waits_any_more(writer: Writer) -> None:
    busy = writer.write(hold_back)
    waiting = writer.write(lambda connection: add(connection, "a"))
    waiting.cancel()
    await busy
    assert await writer.write(lines) == ["a"]
    assert waiting.cancelled()


def test_it_is_done_though_the_loop_has_ended(file: Path) -> None:
    writer = Writer(writing_engine(ledger_url(f"sqlite:///{file}")), Turn(str(file), BUSY_TIMEOUT))

    async def leave() -> None:
        writer.write(lambda connection: connection.exec_driver_sql("CREATE TABLE lines (line TEXT)"))
        writer.write(hold_back)

    asyncio.run(leave())
    assert asyncio.run(_ask(writer)) == []
    writer.stop()


async def _ask(writer: Writer) -> list[str]:
    return await writer.write(lines)


async def test_stopping_finishes_what_was_handed_over(writer: Writer, file: Path) -> None:
    waiting: list[asyncio.Future[Any]] = [writer.write(hold_back), writer.write(partial(add, line="a"))]
    await asyncio.to_thread(writer.stop)
    assert [await each for each in waiting] == [None, "a"]
    with pytest.raises(LedgerUnavailable, match="the ledger is closed"):
        writer.write(lines)


async def test_le2_a_lock_of_another_process_fails_everyone_within_the_timeout(writer: Writer, file: Path) -> None:
    def write(line: str) -> asyncio.Future[str]:
        return writer.write(lambda connection: add(connection, line))

    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    waiting = [write(str(number)) for number in range(5)]
    await asyncio.sleep(0.1)
    waiting.append(write("late"))
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert time.perf_counter() - began < BUSY_TIMEOUT + 0.5
    assert {type(result) for result in results} == {LedgerUnavailable}
    assert {str(result) for result in results} == {"database is locked"}
    assert not is_healthy(writer)
    other.execute("COMMIT")
    other.close()
    assert await write("a") == "a"
    assert is_healthy(writer)
    assert await writer.write(lines) == ["a"]


async def test_a_ledger_nobody_uses_is_found_well_again(
    writer: Writer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "PROBE_EVERY", 0.01)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable):
        await writer.write(lambda connection: add(connection, "a"))
    other.execute("COMMIT")
    other.close()
    for _ in range(500):
        if writer.healthy:
            break
        await asyncio.sleep(0.01)
    assert writer.healthy


async def test_le1_a_small_write_that_fits_on_a_full_disk_makes_the_ledger_no_better(
    writer: Writer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def need_more(_: Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(writing, "PROBE_EVERY", 0.01)
    monkeypatch.setattr(writing, "ROOM", shutil.disk_usage(file.parent).total + 1)
    assert await writer.write(partial(add, line="before")) == "before"
    assert is_healthy(writer), "nothing failed yet"
    with pytest.raises(LedgerUnavailable):
        await writer.write(need_more)
    assert await writer.write(partial(add, line="after")) == "after"
    await asyncio.sleep(0.1)
    assert not is_healthy(writer)
    monkeypatch.undo()
    assert await writer.write(lines) == ["after", "before"]
    assert is_healthy(writer)


async def test_whatever_goes_wrong_the_thread_goes_on(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(writing, "PROBE_EVERY", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(writer._turn, "taken", stumble)
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="writing failed: ZeroDivisionError"):
                await asyncio.wait_for(writer.write(lambda connection: add(connection, "lost")), 5)
        assert not is_healthy(writer)
    assert await writer.write(lambda connection: add(connection, "a")) == "a"
    assert is_healthy(writer)
    assert await writer.write(lines) == ["a"]
