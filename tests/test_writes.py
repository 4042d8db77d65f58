"""Writes of one turn of the loop: together, in order, whatever becomes of one of them."""

import asyncio
from typing import Any

from gateway.writes import Writes


async def turn() -> None:
    """Let everything run that is ready now."""
    await asyncio.sleep(0)


async def test_writes_are_made_in_order_when_everything_ready_has_run() -> None:
    made: list[str] = []
    writes = Writes()
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: writes.add(lambda: made.append("first")))
    loop.call_soon(lambda: writes.add(lambda: made.append("second")))
    loop.call_soon(lambda: made.append("the last that was ready"))
    await turn()
    assert made == ["the last that was ready"]
    await turn()
    assert made == ["the last that was ready", "first", "second"]


async def test_a_write_that_fails_keeps_none_of_the_others_back() -> None:
    made: list[str] = []
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    writes = Writes()
    writes.add(lambda: made.append("before"))
    writes.add(lambda: made[7])  # type: ignore[arg-type]  # it fails
    writes.add(lambda: made.append("after"))
    await turn()
    await turn()
    assert made == ["before", "after"]
    assert [type(fault) for fault in faults] == [IndexError]


async def test_what_is_written_in_a_write_waits_for_the_next_turn_or_this_one_s_end() -> None:
    made: list[str] = []
    writes = Writes()
    writes.add(lambda: writes.add(lambda: made.append("second")))
    writes.add(lambda: made.append("first"))
    await turn()
    await turn()
    assert made == ["first", "second"]
