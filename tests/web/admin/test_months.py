"""What teams did in a month."""

from datetime import UTC, datetime

import pytest

from gateway.web.admin.months import month_back, rows_by_team
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
    films = {"jobs": 1, "succeeded": 0, "unsuccessful": 0, "open": 1, "refused": 0, "usd": 1.6, "held_usd": 1.6}
    images = {"jobs": 1, "succeeded": 1, "unsuccessful": 0, "open": 0, "refused": 0, "usd": 0.035, "held_usd": 0}
    assert shown["rows"] == [{**marketing, **films}, {**studio, "model": IMAGE, **images}]
    numbers = {"jobs": 2, "succeeded": 1, "unsuccessful": 0, "open": 1, "refused": 0}
    assert shown["total"] == {**numbers, "usd": 1.635, "held_usd": 1.6}


async def test_refused_calls_by_team_key_and_model(open_house: OpenHouse) -> None:
    one_a_day = 'models: {allow: ["Veo3*"], deny: [Veo3-Ultra]}\nlimits: [1 jobs per day]'
    house = await open_house({"a.yaml": team("marketing", "k", one_a_day), "b.yaml": team("studio", "s")})
    for model in ("Veo3", "Veo3", "Veo3-Fast", "Veo3-Ultra"):
        await house.client("k").create(model)
    await house.client("s").get("/nope")
    await house.client("unknown").create()
    await house.gw.refusals.write()
    rows = (await usage(house))["rows"]
    assert isinstance(rows, list)
    assert [(row["team"], row["key"], row["model"], row["jobs"], row["refused"]) for row in rows] == [
        ("marketing", "main", "Veo3", 1, 1),
        ("marketing", "main", "Veo3-Fast", 0, 1),
        ("marketing", "main", "other", 0, 1),
        ("studio", "main", "other", 0, 1),
    ]
    total = (await usage(house))["total"]
    assert isinstance(total, dict)
    assert (total["jobs"], total["refused"]) == (1, 4)
    own = (await house.client("k").get("/gateway/v1/usage")).json()["month"]
    assert list(own["by_model"]) == ["Veo3"]
    assert set(own) == {"jobs", "usd", "by_model"}


async def test_one_team_and_one_month(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    await house.client("k").create()
    await house.client("s").create()
    rows = (await usage(house, "?team=studio"))["rows"]
    assert isinstance(rows, list)
    assert [row["team"] for row in rows] == ["studio"]
    past = await usage(house, "?month=2001-01&team=studio")
    assert past == {"month": "2001-01", "rows": [], "total": past["total"]}
    nothing = {"jobs": 0, "succeeded": 0, "unsuccessful": 0, "open": 0, "refused": 0, "usd": 0, "held_usd": 0}
    assert past["total"] == nothing


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


def test_months_go_back_one_by_one_on_the_teams_own_clock() -> None:
    new_year = datetime(2026, 1, 1, 2, tzinfo=UTC).timestamp()
    assert [month_back("UTC", new_year, back).label for back in range(3)] == ["2026-01", "2025-12", "2025-11"]
    assert month_back("America/New_York", new_year, 1).label == "2025-11"
