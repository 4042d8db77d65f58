"""What a platform team sees of its teams."""

from tests.conftest import OpenHouse, digest, team

KEYS = f"""team: marketing
description: Launch films
timezone: Europe/Berlin
keys:
  - {{name: web, hash: '{digest("canary-web")}', expires: 2099-01-01, scopes: [models, jobs]}}
  - {{name: old, hash: '{digest("canary-old")}', expires: 2020-01-01}}
models: {{allow: ["Veo3*"], deny: [Veo3-Ultra]}}
limits:
  - 10 jobs per day
  - {{limit: 5 jobs per day, per: key, name: own}}
  - {{limit: 20 USD per month, name: money}}
"""


async def test_a_team_shows_what_it_may_and_how_much_is_used(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": KEYS, "b.yaml": team("studio", "s")})
    created = await house.client("canary-web").create(payload={"prompt": "canary prompt", "durationSeconds": "4"})
    assert created.status_code == 200
    shown = (await house.admin("/api/teams/marketing")).json()
    assert shown["team"] == "marketing"
    assert shown["description"] == "Launch films"
    assert shown["timezone"] == "Europe/Berlin"
    assert shown["models"] == {"allow": ["Veo3*"], "deny": ["Veo3-Ultra"]}
    assert shown["keys"] == [
        {"name": "web", "scopes": ["jobs", "models"], "expires": "2098-12-31T23:00:00Z", "expired": False},
        {
            "name": "old",
            "scopes": ["jobs", "models", "uploads"],
            "expires": "2019-12-31T23:00:00Z",
            "expired": True,
        },
    ]
    limits = {(limit["name"], limit.get("key")): (limit["used"], limit["remaining"]) for limit in shown["limits"]}
    assert limits == {
        ("jobs-day", None): (1, 9),
        ("own", "web"): (1, 4),
        ("own", "old"): (0, 5),
        ("money", None): (1.6, 18.4),
    }
    assert shown["month"] == {"jobs": 1, "usd": 1.6, "by_model": {"Veo3": {"jobs": 1, "usd": 1.6}}}


async def test_a_limit_reads_as_the_team_itself_reads_it(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k", "limits: [10 jobs per day, 2 jobs at once]")})
    own = (await house.client("k").get("/gateway/v1/usage")).json()
    shown = (await house.admin("/api/teams/marketing")).json()
    assert shown["limits"] == own["limits"]
    assert shown["month"] == own["month"]


async def test_all_teams_come_by_name_each_as_on_its_own_page(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("studio", "s"), "b.yaml": KEYS, "c.yaml": "team: empty\n"})
    await house.client("s").create()
    shown = (await house.admin("/api/teams")).json()["teams"]
    assert [each["team"] for each in shown] == ["empty", "marketing", "studio"]
    for each in shown:
        assert each == (await house.admin(f"/api/teams/{each['team']}")).json()
    assert shown[0]["keys"] == []
    assert shown[2]["month"]["jobs"] == 1


async def test_a_team_nobody_knows_is_not_found(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": KEYS})
    answer = await house.admin("/api/teams/studio")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_se1_no_key_hash_or_prompt_is_shown(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": KEYS})
    await house.client("canary-web").create(payload={"prompt": "canary prompt"})
    text = (await house.admin("/api/teams")).text
    assert "canary" not in text
    assert digest("canary-web").removeprefix("sha256:") not in text
