"""Policies change while the gateway runs, and the metrics say so."""

import asyncio
import gc
import time
import weakref

import pytest

from gateway.policies import Policies
from gateway.reloading import reload_changed_policies, reload_policies
from gateway.siblings import Siblings
from tests.conftest import House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream


def shown(house: House) -> str:
    return house.gw.metrics.render("")[0].decode()


async def test_what_is_in_force_is_shown_from_the_start(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    assert f'gateway_policy_info{{hash="{house.gw.policies.version}"}} 1.0' in shown(house)
    assert "gateway_policy_last_reload_successful 1.0" in shown(house)


async def test_ca2_the_generation_before_and_its_keys_are_gone(open_house: OpenHouse) -> None:
    expiring = team("marketing", "k").replace("- name: main", "- name: spring\n    expires: 2099-01-01")
    house = await open_house({"a.yaml": expiring})
    before = house.gw.policies.version
    assert 'gateway_key_expiry_timestamp_seconds{key="spring",team="marketing"} 4.0709088e+09' in shown(house)
    (house.policies / "a.yaml").write_text(expiring.replace("spring", "summer"))
    assert await reload_policies(house.gw)
    assert house.gw.policies.version != before
    assert before not in shown(house)
    assert "spring" not in shown(house)
    assert 'key="summer"' in shown(house)


async def test_po2_a_bad_set_changes_nothing_but_what_is_reported(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    before = house.gw.policies.current
    (house.policies / "a.yaml").write_text("team: [\n")
    assert not await reload_policies(house.gw)
    assert house.gw.policies.current is before
    assert "gateway_policy_last_reload_successful 0.0" in shown(house)
    assert f'gateway_policy_info{{hash="{before.version}"}} 1.0' in shown(house)


async def test_po2_where_the_files_are_wrong_the_latest_set_of_any_worker_counts(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    other = Policies(house.policies)
    (house.policies / "a.yaml").write_text(team("marketing", "another"))
    assert other.reload(house.gw.now() + 1)
    (house.policies / "a.yaml").write_text("team: [\n")
    assert not other.reload(house.gw.now() + 2)

    async def ask(_: Siblings, question: str) -> dict[str, bytes]:
        return {"other": {"policies": other.in_force()}[question]}

    monkeypatch.setattr(Siblings, "ask", ask)
    assert not await reload_policies(house.gw)
    assert house.gw.policies.version == other.version
    assert (await house.client("k").get(f"{Q}/models")).status_code == 401
    assert (await house.client("another").get(f"{Q}/models")).status_code == 200
    assert "gateway_policy_last_reload_successful 0.0" in shown(house)
    assert f'gateway_policy_info{{hash="{other.version}"}} 1.0' in shown(house)


async def test_no_collection_halts_the_calls_while_policies_are_read(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house: House = await open_house({"a.yaml": team("a", "key")})
    reload, enabled = Policies.reload, list[bool]()

    def watched(policies: Policies, now: float, *, asked: bool) -> bool:
        enabled.append(gc.isenabled())
        return reload(policies, now, asked=asked)

    monkeypatch.setattr(Policies, "reload", watched)
    assert await reload_policies(house.gw)
    assert (enabled, gc.isenabled()) == ([False], True)
    (house.policies / "a.yaml").write_text("team: 7\n")
    assert not await reload_policies(house.gw)
    assert gc.isenabled()


async def test_one_reload_waits_for_another_so_that_none_goes_through_what_it_reads(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house: House = await open_house({"a.yaml": team("a", "key")})
    reload, collect = Policies.reload, gc.collect
    told: list[str] = []

    def watched(policies: Policies, now: float, *, asked: bool) -> bool:
        told.append("begins")
        time.sleep(0.05)
        accepted = reload(policies, now, asked=asked)
        told.append("ends")
        return accepted

    def collected(generation: int = 2) -> int:
        told.append("collects")
        return collect(generation)

    monkeypatch.setattr(Policies, "reload", watched)
    monkeypatch.setattr(gc, "collect", collected)
    assert await asyncio.gather(*(reload_policies(house.gw) for _ in range(2))) == [True, True]
    assert told == ["collects", "begins", "ends"] * 2
    assert gc.isenabled()


async def test_a_change_that_a_reload_under_way_has_read_is_not_read_again(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.duties.READ_POLICIES_EVERY", 3600.0)
    house: House = await open_house({"a.yaml": team("a", "key")})
    reload, read = Policies.reload, []

    def watched(policies: Policies, now: float, *, asked: bool = False) -> bool:
        read.append(asked)
        return reload(policies, now, asked=asked)

    monkeypatch.setattr(Policies, "reload", watched)
    await reload_changed_policies(house.gw)  # after the duty, which looks once at the start
    (house.policies / "a.yaml").write_text("team: 7\n")
    await asyncio.gather(reload_policies(house.gw, asked=True), reload_changed_policies(house.gw))
    assert read == [True]
    (house.policies / "a.yaml").write_text(team("a", "other"))
    await reload_changed_policies(house.gw)
    assert read == [True, False]


async def test_rs3_a_reload_keeps_no_garbage_for_ever(open_house: OpenHouse) -> None:
    class Loop:
        """What only a collection frees."""

        def __init__(self) -> None:
            self.me = self

    house: House = await open_house({"a.yaml": team("a", "key")})
    gc.disable()
    garbage = [weakref.ref(Loop()) for _ in range(100)]
    gc.enable()
    assert await reload_policies(house.gw)
    assert [each() for each in garbage] == [None] * 100
    gc.unfreeze()


async def test_policies_that_need_a_key_there_is_none_of_change_nothing(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key")}, upstream=upstream.url)
        before = house.gw.policies.current
        (house.policies / "gateway.yaml").write_text("credentials: {studio: {api_key: env:NO_SUCH_KEY}}\n")
        (house.policies / "a.yaml").write_text(team("a", "key", "credential: studio"))
        assert not await reload_policies(house.gw)
        assert house.gw.policies.current is before
        [problem] = house.gw.policies.problems
        assert "credential 'studio': no API key: NO_SUCH_KEY" in problem.message
        assert "gateway_policy_last_reload_successful 0.0" in shown(house)


async def test_a_key_can_be_revoked_although_a_secret_has_gone_missing(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    house.gw.policies.require(lambda _: ["credential 'default': no API key: the file is away"])
    (house.policies / "a.yaml").write_text(team("a", "new"))
    assert await reload_policies(house.gw)
    assert (await house.client("key").get("/gateway/v1/usage")).status_code == 401
