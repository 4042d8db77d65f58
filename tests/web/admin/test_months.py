"""What teams did in a month."""

from datetime import UTC, datetime

import pytest

from gateway.web.admin.months import rows_by_team
from tests.conftest import House, OpenHouse, team

IMAGE = "seedream-5.0-lite"


async def usage(house: House, query: str = "") -> dict[str, object]:
    shown: dict[str, object] = (await house.admin(f"/api/usage{query}")).json()
    return shown


async def test_a_row_for_each_team_key_and_model_and_the_sum(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    await house.client("k").create(payload={"prompt": "x", "durationSeconds": "4"})
    assert (await house.client("s").create(IMAGE)).json()["status"] == "success"
    shown = await usage(house)
    assert shown["month"] == datetime.now(UTC).strftime("%Y-%m")  # noqa: TID251 - the gateway under test runs on it
    marketing, studio = {"team": "marketing", "key": "main", "model": "Veo3"}, {"team": "studio", "key": "main"}
    assert shown["rows"] == [
        {**marketing, "jobs": 1, "succeeded": 0, "failed": 0, "open": 1, "usd": 1.6, "held_usd": 1.6},
        {**studio, "model": IMAGE, "jobs": 1, "succeeded": 1, "failed": 0, "open": 0, "usd": 0.035, "held_usd": 0},
    ]
    assert shown["total"] == {"jobs": 2, "succeeded": 1, "failed": 0, "open": 1, "usd": 1.635, "held_usd": 1.6}


async def test_one_team_and_one_month(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    await house.client("k").create()
    await house.client("s").create()
    rows = (await usage(house, "?team=studio"))["rows"]
    assert isinstance(rows, list)
    assert [row["team"] for row in rows] == ["studio"]
    past = await usage(house, "?month=2001-01&team=studio")
    assert past == {"month": "2001-01", "rows": [], "total": past["total"]}
    assert past["total"] == {"jobs": 0, "succeeded": 0, "failed": 0, "open": 0, "usd": 0, "held_usd": 0}


async def test_a_removed_team_keeps_its_rows(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    await house.client("s").create()
    (house.policies / "b.yaml").unlink()
    assert (await house.http.post(house.running.admin_url + "/reload")).status_code == 200
    for query in ("", "?team=studio"):
        rows = (await usage(house, query))["rows"]
        assert isinstance(rows, list)
        assert [row["team"] for row in rows] == ["studio"]


async def test_a_month_is_the_teams_own(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same instant is in two months: the Line Islands are 14 hours ahead of UTC, Niue 11 behind."""
    zones = {"ahead": "Pacific/Kiritimati", "behind": "Pacific/Niue"}
    house = await open_house({f"{name}.yaml": team(name, name, f"timezone: {zone}") for name, zone in zones.items()})
    asked = []

    async def record(team: str | None, starts: float, ends: float) -> list[object]:
        asked.append((team, datetime.fromtimestamp(starts, UTC), datetime.fromtimestamp(ends, UTC)))
        return []

    monkeypatch.setattr(house.gw.ledger, "usage", record)
    await rows_by_team(house.gw, datetime(2026, 11, 30, 20, tzinfo=UTC).timestamp())
    assert asked == [
        (None, datetime(2026, 11, 30, 10, tzinfo=UTC), datetime(2026, 12, 31, 10, tzinfo=UTC)),
        (None, datetime(2026, 11, 1, 11, tzinfo=UTC), datetime(2026, 12, 1, 11, tzinfo=UTC)),
        (None, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    ]
