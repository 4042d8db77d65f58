"""Names looked up in threads: one look-up for all who ask, and what becomes of those who give up."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.lookups import Lookups


class Blocking:
    """Finds the length of a name once it may go on; `asked` are the names it was asked for."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []
        self._begun = threading.Semaphore(0)

    def __call__(self, name: str) -> int:
        self.asked.append(name)
        self._begun.release()
        assert self.go.wait(30)
        if not name:
            raise ValueError("no name")
        return len(name)

    async def begins(self) -> None:
        """Wait until one more look-up has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=10)


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    ours = Blocking()
    yield ours
    ours.go.set()


async def test_a_name_that_many_ask_for_is_looked_up_once_and_not_kept(blocking: Blocking) -> None:
    lookups = Lookups(blocking, 4)
    blocking.go.set()
    assert await asyncio.gather(*(lookups.look_up("one") for _ in range(50))) == [3] * 50
    assert blocking.asked == ["one"]
    assert await lookups.look_up("one") == 3
    assert blocking.asked == ["one", "one"]


async def test_no_more_threads_than_there_are_places(blocking: Blocking) -> None:
    lookups = Lookups(blocking, 2)
    names = [str(number) for number in range(10)]
    asking = asyncio.gather(*map(lookups.look_up, names))
    await blocking.begins()
    await blocking.begins()
    await asyncio.sleep(0.05)
    assert len(blocking.asked) == 2
    blocking.go.set()
    assert await asking == [1] * 10
    assert sorted(blocking.asked) == names


async def test_what_is_no_name_is_told_to_all_who_asked_and_keeps_no_place(blocking: Blocking) -> None:
    lookups = Lookups(blocking, 1)
    blocking.go.set()
    for _ in range(3):
        ends = await asyncio.gather(lookups.look_up(""), lookups.look_up(""), return_exceptions=True)
        assert [str(end) for end in ends] == ["no name", "no name"]
    assert await lookups.look_up("one") == 3


async def test_one_who_gives_up_does_not_spoil_it_for_the_others(blocking: Blocking) -> None:
    lookups = Lookups(blocking, 1)
    first, second = (asyncio.ensure_future(lookups.look_up("one")) for _ in range(2))
    await blocking.begins()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    blocking.go.set()
    assert await second == 3
    assert blocking.asked == ["one"]


async def test_one_who_gives_up_as_all_is_closed_is_cancelled_and_not_told_otherwise(blocking: Blocking) -> None:
    lookups = Lookups(blocking, 1)
    asking = asyncio.ensure_future(lookups.look_up("one"))
    await blocking.begins()
    lookups.close()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_whoever_waits_for_the_end_of_a_look_up_hears_of_it(blocking: Blocking) -> None:
    lookups, over = Lookups(blocking, 1), asyncio.Event()
    lookups.when_over("one", over.set)
    assert over.is_set(), "nobody looks it up"
    over.clear()
    looking = asyncio.ensure_future(lookups.look_up("one"))
    await blocking.begins()
    lookups.when_over("one", over.set)
    looking.cancel()
    await asyncio.sleep(0.01)
    assert not over.is_set(), "the thread is still at it"
    blocking.go.set()
    async with asyncio.timeout(10):
        await over.wait()


async def test_a_thread_that_cannot_be_started_is_an_oserror_and_keeps_no_place(
    blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(blocking, 1)
    blocking.go.set()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", too_many)
        for _ in range(2):
            with pytest.raises(OSError):
                await lookups.look_up("one")
    assert await lookups.look_up("one") == 3
    assert blocking.asked == ["one"]


async def test_closing_gives_up_what_is_looked_up_and_what_waits_for_a_place(blocking: Blocking) -> None:
    lookups = Lookups(blocking, 1)
    asking = asyncio.gather(lookups.look_up("one"), lookups.look_up("two"), return_exceptions=True)
    await blocking.begins()
    lookups.close()
    assert [type(end) for end in await asking] == [OSError, OSError]
    assert blocking.asked == ["one"]
