import asyncio

import httpx

from gateway.simulator import Settings, Simulator
from gateway.simulator.simulation import Simulation, address_url
from tests.simulator.conftest import QUEUE, Clock


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


class RunningClock(Clock):
    """One that a second passes on whenever it is read: whoever reads it has lost the processor for as long."""

    def __call__(self) -> float:
        self.now += 1
        return self.now


async def test_a_create_is_answered_as_of_its_own_instant_however_soon_the_job_ends() -> None:
    body = {"model": "Veo3", "payload": {"prompt": "a fox"}}
    key = {"Authorization": "Bearer simulated-gmi-key"}
    async with (
        Simulator(Settings(speed=1000), RunningClock()) as simulator,
        httpx.AsyncClient(base_url=simulator.url + QUEUE, headers=key, trust_env=False) as client,
    ):
        created = (await client.post("/requests", json=body)).json()
        assert (created["status"], created["updated_at"]) == ("created", created["created_at"])
        record = (await client.get(f"/requests/{created['request_id']}")).json()
        assert (record["status"], bool(record["outcome"])) == ("success", True)
