"""Alive, and ready."""

from gateway import __version__
from tests.conftest import OpenHouse, team


async def test_a_gateway_that_serves_is_alive_and_ready(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    assert (await house.admin("/healthz")).text == "ok\n"
    ready = await house.admin("/readyz")
    assert (ready.status_code, ready.text) == (200, "ready\n")


async def test_sh1_a_draining_gateway_is_not_ready_at_once(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    house.gw.draining.set()
    ready = await house.admin("/readyz")
    assert (ready.status_code, ready.text) == (503, "not ready: accepting\n")
    assert (await house.admin("/healthz")).status_code == 200


async def test_sh5_without_ledger_it_is_not_ready_and_stays_alive(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    await house.gw.ledger.close()
    ready = await house.admin("/readyz?verbose")
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert ready.json()["checks"] == {"accepting": True, "ledger": False}
    assert (await house.admin("/healthz")).status_code == 200


async def test_sh5_with_upstream_down_it_is_ready(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")}, upstream="http://127.0.0.1:9")
    assert (await house.admin("/readyz")).status_code == 200


async def test_po2_refused_policies_are_named_while_the_last_good_ones_serve(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    before = (await house.admin("/readyz?verbose")).json()
    assert before["version"] == __version__
    assert before["policies"]["problems"] == []
    (house.policies / "a.yaml").write_text("team: marketing\nlimts: []\n")
    await house.http.post(house.running.admin_url + "/reload")
    ready = await house.admin("/readyz?verbose")
    assert ready.status_code == 200
    policies = ready.json()["policies"]
    assert policies["version"] == before["policies"]["version"]
    assert policies["loaded_at"] == before["policies"]["loaded_at"]
    assert policies["last_reload_successful"] is False
    assert any("a.yaml:2:1: " in problem and "limits" in problem for problem in policies["problems"])
