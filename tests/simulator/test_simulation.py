import asyncio

from gateway.simulator import Settings
from gateway.simulator.simulation import Simulation, address_url
from tests.simulator.conftest import Clock


async def test_a_stop_ends_every_pause(clock: Clock) -> None:
    simulation = Simulation(Settings(), clock)
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        group.create_task(simulation.pause(1000))
        await asyncio.sleep(0)
        simulation.stop()
    await simulation.pause(1000)


async def test_a_pause_lasts_as_long_as_told(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await Simulation(Settings(), clock).pause(0.02)
    assert loop.time() - started >= 0.019


def test_an_ipv6_address_is_bracketed() -> None:
    assert address_url("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert address_url("::1", 80) == "http://[::1]:80"
