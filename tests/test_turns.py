"""Work for many, a few at a time."""

import asyncio

import pytest

from gateway.turns import AT_ONCE, in_turns


async def test_one_that_fails_leaves_no_other_running_behind() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        if not item:
            raise LookupError("away")
        await asyncio.sleep(0.01)
        done.append(item)

    with pytest.raises(LookupError):
        await in_turns(range(5), work)
    assert done == [1, 2, 3, 4]


async def test_only_so_many_are_done_at_once() -> None:
    under_way, most = 0, 0

    async def work(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await in_turns(range(3 * AT_ONCE), work)
    assert most == AT_ONCE
