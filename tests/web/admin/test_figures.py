"""Sums over the past: in the team's own windows, and asked for once for all who look on."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.windows import Window
from gateway.telemetry import KeyUses
from gateway.web.admin.figures import DAYS, HOURS, Figures, _series
from tests.conftest import House, OpenHouse, team

IMAGE = "seedream-5.0-lite"
ZONES = {
    "a.yaml": team("marketing", "k", "timezone: Europe/Berlin\nlimits: [2 jobs per day]"),
    "b.yaml": team("studio", "s"),
}


async def spend(house: House) -> None:
    for _ in range(3):
        await house.client("k").create(IMAGE)
    await house.client("s").create(IMAGE)
    await house.client("s").create("Veo3", {"prompt": "x", "durationSeconds": "4"})
    await house.gw.refusals.write()


async def test_money_falls_into_days_and_models(open_house: OpenHouse) -> None:
    house = await open_house(ZONES)
    await spend(house)
    figures, now = Figures(house.gw), house.gw.now()
    everybody = await figures.spent_by_day(now, "UTC")
    assert len(everybody.windows) == len(everybody.values) == DAYS
    assert everybody.windows[-1].starts <= now < everybody.windows[-1].ends
    assert [one.ends for one in everybody.windows[:-1]] == [one.starts for one in everybody.windows[1:]]
    assert dict(zip(everybody.names, everybody.totals, strict=True)) == {"Veo3": 1_600_000, IMAGE: 105_000}
    assert everybody.values[-1] == everybody.totals
    own = await figures.spent_by_day(now, "Europe/Berlin", "marketing")
    assert (own.names, own.totals) == ((IMAGE,), (70_000,))


async def test_refused_calls_fall_into_hours_and_codes(open_house: OpenHouse) -> None:
    house = await open_house(ZONES)
    await spend(house)
    figures, now = Figures(house.gw), house.gw.now()
    refused = await figures.refused_by_hour(now)
    assert len(refused.windows) == HOURS
    assert (refused.names, refused.totals) == (("quota_exceeded",), (1,))
    assert refused.values[-1] == (1,)
    assert await figures.refused_by_team(now) == {"marketing": 1}
    assert (await figures.refused_by_hour(now, "studio")).names == ()


def test_the_names_that_matter_least_go_together() -> None:
    window = Window("2026-11-25", 0.0, 1.0)
    found = [(0, f"model-{number}", number) for number in range(9)]
    series = _series((window,), [*found, (5, "elsewhere", 0)])
    assert series.names == ("model-8", "model-7", "model-6", "model-5", "model-4", "other")
    assert series.values == ((8, 7, 6, 5, 4, 6),)


async def test_many_browsers_cost_one_query(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house(ZONES)
    asked: list[str] = []
    survey = type(house.gw.ledger).survey

    async def counting(self: Any, work: Callable[..., Any], *arguments: Any) -> Any:
        asked.append(work.__name__)
        return await survey(self, work, *arguments)

    monkeypatch.setattr(type(house.gw.ledger), "survey", counting)
    figures, now = Figures(house.gw), house.gw.now()
    for _ in range(5):
        await figures.spent_by_day(now, "UTC")
        await figures.refused_by_hour(now)
        await figures.refused_by_team(now)
    assert sorted(asked) == ["refused_counts", "spent_by_window"]


async def test_months_are_told_back(open_house: OpenHouse) -> None:
    house = await open_house(ZONES)
    await spend(house)
    figures, now = Figures(house.gw), house.gw.now()
    this = await figures.month(now)
    assert {name: sum(row.spent for row in rows) for name, rows in this.items()} == {
        "marketing": 70_000,
        "studio": 1_635_000,
    }
    assert await figures.month(now, back=1) == {}
    assert set(await figures.month(now, "studio")) == {"studio"}


async def test_a_key_is_seen_by_its_calls_here_elsewhere_and_by_its_jobs(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(ZONES)
    now = house.gw.now()
    assert await Figures(house.gw).key_uses("studio", now) == {}
    await house.client("s").get("/gateway/v1/usage")
    called = (await Figures(house.gw).key_uses("studio", now))["main"]
    assert now <= called <= house.gw.now()
    elsewhere = KeyUses()
    elsewhere.note("studio", "main", called + 60)

    async def ask(_: Any, question: str) -> dict[str, bytes]:
        return {"other": elsewhere.dump()} if question == "key uses" else {}

    monkeypatch.setattr(type(house.gw.siblings), "ask", ask)
    assert await Figures(house.gw).key_uses("studio", now) == {"main": called + 60}
    assert await Figures(house.gw).key_uses("marketing", now) == {}


async def test_after_a_restart_a_key_is_known_by_its_last_job(open_house: OpenHouse) -> None:
    first = await open_house(ZONES)
    await first.client("s").create(IMAGE)
    second = await open_house(ZONES)
    seen = await Figures(second.gw).key_uses("studio", second.gw.now())
    assert set(seen) == {"main"}
