import httpx
import pytest

from gateway.simulator import parse_fault
from tests.simulator.conftest import Start


async def test_faults_are_set_shown_and_ended(anonymous: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    faults = {"faults": ["list_models:503:1:1", "*:latency:0"]}
    assert (await anonymous.post("/simulator/faults", json=faults)).json() == faults
    assert (await anonymous.get("/simulator/faults")).json() == faults
    assert [(await client.get("/models")).status_code for _ in range(2)] == [503, 200]
    assert (await anonymous.post("/simulator/faults", json={"faults": []})).json() == {"faults": []}


async def test_faults_from_the_settings_are_in_force_at_once(start: Start) -> None:
    simulator = await start(faults=(parse_fault("list_models:402"),))
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        shown = (await client.get("/simulator/faults")).json()
    assert shown == {"faults": ["list_models:402:1"]}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"faults":[7]}', b'{"faults":7}', b'{"faults":["x"]}'])
async def test_wrong_faults_are_400_and_change_nothing(anonymous: httpx.AsyncClient, body: bytes) -> None:
    faults = {"faults": ["list_models:503:1"]}
    await anonymous.post("/simulator/faults", json=faults)
    answer = await anonymous.post("/simulator/faults", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith('{"faults": ["OPERATION:KIND[:AMOUNT[:TIMES]]"]} expected')
    assert (await anonymous.get("/simulator/faults")).json() == faults


async def test_the_journal_is_shown_and_cleared(anonymous: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    await client.get("/models")
    journal = (await anonymous.get("/simulator/requests")).json()
    assert (journal["total"], journal["counts"]) == (1, {"list_models": 1})
    assert (await anonymous.delete("/simulator/requests")).status_code == 204
    journal = (await anonymous.get("/simulator/requests")).json()
    assert journal == {"total": 0, "counts": {}, "requests": []}
