"""What is done at the end of a turn of the loop: together, in order, whatever becomes of one of them."""

import asyncio
from typing import Any

from gateway.afterwards import Afterwards


async def turn() -> None:
    """Let everything run that is ready now."""
    await asyncio.sleep(0)


async def test_it_is_done_in_order_when_everything_ready_has_run() -> None:
    done: list[str] = []
    afterwards = Afterwards()
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: afterwards.add(lambda: done.append("first")))
    loop.call_soon(lambda: afterwards.add(lambda: done.append("second")))
    loop.call_soon(lambda: done.append("the last that was ready"))
    await turn()
    assert done == ["the last that was ready"]
    await turn()
    assert done == ["the last that was ready", "first", "second"]


async def test_what_fails_keeps_none_of_the_others_back() -> None:
    done: list[str] = []
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    afterwards = Afterwards()
    afterwards.add(lambda: done.append("before"))
    afterwards.add(lambda: done[7])  # type: ignore[arg-type]  # it fails
    afterwards.add(lambda: done.append("after"))
    await turn()
    await turn()
    assert done == ["before", "after"]
    assert [type(fault) for fault in faults] == [IndexError]


async def test_what_is_added_meanwhile_is_done_as_well() -> None:
    done: list[str] = []
    afterwards = Afterwards()
    afterwards.add(lambda: afterwards.add(lambda: done.append("second")))
    afterwards.add(lambda: done.append("first"))
    await turn()
    await turn()
    assert done == ["first", "second"]
