"""How upstream and the caches do, over all workers."""

from typing import Any

import pytest

from gateway.telemetry import Metrics
from gateway.web.admin.upstream_health import CacheUse, Operation, UpstreamHealth, upstream_health
from tests.conftest import OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import response


async def test_calls_failures_and_spared_look_ups_are_counted(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "k")})
    house.gw.metrics.upstream_calls.note("delete_request", "503", 0.1)
    house.gw.metrics.upstream_calls.note("delete_request", "timeout", 0.3)
    for _ in range(3):
        await house.client("k").get(f"{Q}/models")
    health = await upstream_health(house.gw)
    by_name = {each.name: each for each in health.operations}
    assert health.circuit == "closed"
    assert (by_name["list_models"].calls, by_name["list_models"].failed) == (1, 0)
    assert (by_name["delete_request"].calls, by_name["delete_request"].failed) == (2, 2)
    assert by_name["delete_request"].seconds == pytest.approx(0.2)
    assert health.caches == (CacheUse("models", 3, 2),)
    assert (health.calls, health.failed, health.lookups, health.spared) == (3, 2, 3, 2)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_up9_upstream_is_not_well_while_it_refuses_a_key(open_house: OpenHouse, status: str) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "k")}, upstream.url)
        upstream.answers["GET", f"{Q}/models"] = response(b"{}", status)
        await house.client("k").get(f"{Q}/models")
        health = await upstream_health(house.gw)
        assert (health.word, health.circuit, health.refused) == ("Refusing", "closed", ("default",))
        assert health.failed == health.calls > 0
        assert '<dd class="figure">Refusing</dd>' in (await house.admin("/")).text


@pytest.mark.parametrize(
    ("circuit", "refused", "word"),
    [
        ("closed", (), "Well"),
        ("closed", ("default",), "Refusing"),
        ("open", (), "Failing"),
        ("open", ("default",), "Failing"),
        ("half_open", (), "Recovering"),
    ],
)
def test_one_word_says_how_upstream_does(circuit: str, refused: tuple[str, ...], word: str) -> None:
    assert UpstreamHealth(circuit, refused, (), ()).word == word


@pytest.mark.parametrize(("failed", "word"), [(0, "Well"), (10, "Well"), (11, "Unsteady"), (100, "Unsteady")])
def test_upstream_does_not_do_well_where_more_than_a_tenth_of_its_calls_fails(failed: int, word: str) -> None:
    assert UpstreamHealth("closed", (), (Operation("get_request", 100, failed, 0.1),), ()).word == word


@pytest.mark.parametrize(
    ("here", "there", "worst"),
    [("closed", "open", "open"), ("half_open", "closed", "half_open"), ("closed", "closed", "closed")],
)
async def test_the_worst_state_any_worker_sees_is_told(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, here: str, there: str, worst: str
) -> None:
    house = await open_house({"a.yaml": team("a", "k")})
    other = Metrics("0")
    for metrics, state in ((house.gw.metrics, here), (other, there)):
        metrics.circuit.show({(each,): int(each == state) for each in ("closed", "open", "half_open")})
    other.upstream_calls.note("get_model", "200", 0.1)

    async def ask(_: Any, __: str) -> dict[str, bytes]:
        return {"other": other.dump()}

    monkeypatch.setattr(type(house.gw.siblings), "ask", ask)
    health = await upstream_health(house.gw)
    assert health.circuit == worst
    assert [each.name for each in health.operations] == ["get_model"]
