"""Workers that ask each other over sockets in one folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from gateway import siblings
from gateway.siblings import Siblings, clear_away


@asynccontextmanager
async def worker(folder: Path | None, answer: bytes, name: str = "") -> AsyncIterator[Siblings]:
    async def give() -> bytes:
        return answer

    one = Siblings(folder, name or answer[:1].decode())
    await one.open({"counts": give})
    yield one
    await one.close()


async def test_each_hears_all_the_others(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a, worker(tmp_path, b"b" * 300_000) as b, worker(tmp_path, b"c") as c:
        assert sorted((await a.ask("counts")).values()) == [b"b" * 300_000, b"c"]
        assert sorted((await b.ask("counts")).values()) == [b"a", b"c"]
        assert sorted((await c.ask("counts")).values()) == [b"a", b"b" * 300_000]


async def test_without_a_folder_there_is_nobody(tmp_path: Path) -> None:
    async with worker(None, b"a") as alone:
        assert await alone.leave(lambda: b"words") == b"words"
        assert await alone.ask("counts") == {}
        assert alone.left({}) == []


async def test_a_question_nobody_knows_has_no_answer(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a, worker(tmp_path, b"b"):
        assert await a.ask("secrets") == {}


async def test_what_one_that_is_gone_left_is_known_until_the_end(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a:
        async with worker(tmp_path, b"b") as b:
            await b.leave(lambda: b"first words")
            await b.leave(lambda: b"last words")
            await a.leave(lambda: b"own words")
            assert a.left(await a.ask("counts")) == []
        present = await a.ask("counts")
        assert present == {}
        assert a.left(present) == [b"last words"]


async def test_what_is_left_at_once_is_left_one_after_the_other(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a:
        async with worker(tmp_path, b"b") as b:
            made = count()
            await asyncio.gather(*(b.leave(lambda: b"%08d" % next(made) * 10_000) for _ in range(40)))
        assert a.left({}) == [b"%08d" % 39 * 10_000]


async def test_one_that_was_killed_or_is_stuck_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "PATIENCE", 0.5)
    hung_up = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with worker(tmp_path, b"a") as a, worker(tmp_path, b"b"):
        (tmp_path / "dead").touch()  # no socket, or one that nobody holds
        stuck = await asyncio.start_unix_server(never, tmp_path / "stuck")
        assert list((await a.ask("counts")).values()) == [b"b"]
        await asyncio.wait_for(hung_up.wait(), 10)
        stuck.close()
        await stuck.wait_closed()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_what_those_that_were_cleared_away_left_is_kept_together(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a:
        for name in ("b", "c", "d"):
            (tmp_path / name).touch()  # one that was killed leaves its socket
            await Siblings(tmp_path, name).leave(name.encode)
        assert sorted(a.left({})) == [b"b", b"c", b"d"]
        clear_away(tmp_path, "b", b"+".join)
        clear_away(tmp_path, "c", b"+".join)
        assert sorted(a.left({})) == [b"b+c", b"d"]
        assert names_in(tmp_path) == ["a", "all.gone", "d", "d.left"]


async def test_one_that_answered_before_it_was_cleared_away_counts_once(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a, worker(tmp_path, b"b") as b:
        await b.leave(lambda: b"words of b")
        present = await a.ask("counts")
        clear_away(tmp_path, "b", b"+".join)
        assert (a.left(present), present) == ([b"words of b"], {})


async def test_what_is_cleared_away_while_it_is_read_is_neither_lost_nor_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with worker(tmp_path, b"a") as a:
        for name in ("b", "c"):
            await Siblings(tmp_path, name).leave(name.encode)
        read_gone = siblings._read_gone
        waiting = ["b", "c"]

        def cleared_away_now(folder: Path | None) -> tuple[list[str], list[bytes]]:
            before = read_gone(folder)
            if waiting:
                monkeypatch.setattr(siblings, "_read_gone", read_gone)
                clear_away(tmp_path, waiting.pop(), b"+".join)
                monkeypatch.setattr(siblings, "_read_gone", cleared_away_now)
            return before

        monkeypatch.setattr(siblings, "_read_gone", cleared_away_now)
        assert a.left({}) == [b"c+b"]


async def test_one_that_left_nothing_leaves_nothing(tmp_path: Path) -> None:
    async with worker(tmp_path, b"a") as a:
        (tmp_path / "b").touch()
        clear_away(tmp_path, "b", b"+".join)
        assert a.left({}) == []
        assert names_in(tmp_path) == ["a"]
