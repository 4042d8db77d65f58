"""The limits of whole teams, from one look into the ledger."""

from typing import Any

import pytest

from gateway.web.admin.limits import limits_of_teams
from tests.conftest import OpenHouse, digest, team

TWO_KEYS = team("marketing", "k1").replace("models:", f"  - {{name: second, hash: '{digest('k2')}'}}\nmodels:")
LIMITS = "limits:\n  - 9 jobs per day\n  - {limit: 5 jobs per day, per: key, name: own}\n"


async def test_a_teams_limit_stands_once_and_a_keys_own_for_every_key(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": TWO_KEYS + LIMITS})
    await house.client("k2").create()
    teams = house.gw.policies.current.teams.values()
    rows = (await limits_of_teams(house.gw, teams))["marketing"]
    shown = sorted((row.state.limit.name, row.key or "", row.state.used) for row in rows)
    assert shown == [("jobs-day", "", 1), ("own", "main", 0), ("own", "second", 1)]


async def test_a_team_without_keys_still_has_limits(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": "team: quiet\nlimits: [9 jobs per day]\n"})
    rows = (await limits_of_teams(house.gw, house.gw.policies.current.teams.values()))["quiet"]
    assert [(row.state.limit.name, row.key, row.state.used) for row in rows] == [("jobs-day", None, 0)]


async def test_many_teams_cost_one_look(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house({f"{n}.yaml": team(f"team-{n}", f"k{n}", "limits: [9 jobs per day]") for n in range(20)})
    looks = []
    real = type(house.gw.ledger).used

    async def counted(ledger: Any, names: Any) -> Any:
        looks.append(names)
        return await real(ledger, names)

    monkeypatch.setattr(type(house.gw.ledger), "used", counted)
    assert len(await limits_of_teams(house.gw, house.gw.policies.current.teams.values())) == 20
    assert len(looks) == 1
