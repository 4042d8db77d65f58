import asyncio
import os
import signal

import pytest

from gateway.cli.ending import until_signalled
from gateway.server.run import run_in_loop


async def work_for_ever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cleaned up")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_which_cleans_up(number: signal.Signals) -> None:
    ended: list[str] = []

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
        await work_for_ever(ended)

    assert run_in_loop(until_signalled(work())) is None
    assert ended == ["cleaned up"]


def test_work_that_ends_by_itself_has_its_result() -> None:
    async def work() -> str:
        return "done"

    assert run_in_loop(until_signalled(work())) == "done"
