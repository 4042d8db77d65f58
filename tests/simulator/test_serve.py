import asyncio
import signal
import time

import httpx
import pytest

from gateway.simulator import Settings, Simulator, serve_forever
from gateway.simulator.serve import wall_clock
from tests.simulator.conftest import QUEUE, Start

HEADERS = {"Authorization": "Bearer simulated-gmi-key"}


async def test_it_listens_where_its_url_says_and_nowhere_after_the_stop() -> None:
    async with Simulator() as simulator, httpx.AsyncClient(trust_env=False) as client:
        url = f"{simulator.url}{QUEUE}/models"
        assert (await client.get(url, headers=HEADERS)).status_code == 200
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
    with pytest.raises(RuntimeError, match="not running"):
        _ = simulator.url


async def test_signals_stay_with_the_process() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with Simulator():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_taken_address_is_an_os_error(start: Start) -> None:
    simulator = await start()
    port = int(simulator.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await Simulator(Settings(port=port)).start()


async def test_a_stop_answers_a_held_post_and_returns_soon(start: Start) -> None:
    simulator = await start(speed=0.01)
    body = {"model": "seedream-5.0-lite", "payload": {"prompt": "a fox"}}
    async with httpx.AsyncClient(base_url=simulator.url + QUEUE, headers=HEADERS, trust_env=False) as client:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            held = group.create_task(client.post("/requests", json=body, timeout=5))
            while not len(simulator.simulation.jobs):  # noqa: ASYNC110 - a job has no event to wait for
                await asyncio.sleep(0.001)
            await simulator.stop()
        assert held.result().json()["status"] == "success"


async def test_a_stop_cuts_a_client_that_never_finishes_its_request(start: Start) -> None:
    simulator = await start()
    host, _, port = simulator.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HT")
    await asyncio.sleep(0.01)
    await simulator.stop()
    assert await reader.read() == b""
    writer.close()


async def test_a_stop_without_a_start_or_twice_does_nothing() -> None:
    simulator = Simulator()
    await simulator.stop()
    async with simulator:
        await simulator.stop()


async def test_it_serves_on_ipv6_too() -> None:
    async with Simulator(Settings(host="::1")) as simulator, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{simulator.url}{QUEUE}/upload-url", json={"file_type": "png"}, headers=HEADERS)
        assert answer.json()["public_url"].startswith(simulator.url)


async def test_serve_forever_tells_its_url_and_runs_until_cancelled() -> None:
    urls: list[str] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        serving = group.create_task(serve_forever(Settings(), urls.append))
        while not urls:  # noqa: ASYNC110 - the URL comes by callback
            await asyncio.sleep(0.001)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{urls[0]}{QUEUE}/models")).status_code == 401
        serving.cancel()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", int(urls[0].rpartition(":")[2]))


def test_the_default_clock_is_the_walls() -> None:
    assert wall_clock() == pytest.approx(time.time(), abs=5)  # noqa: TID251 - the clock under test
