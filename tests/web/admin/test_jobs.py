"""What was let through lately, and what was not."""

from tests.conftest import OpenHouse, team

IMAGE = "seedream-5.0-lite"


async def test_jobs_come_newest_first_without_what_they_are_about(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    video = (await house.client("k").create(payload={"prompt": "canary", "durationSeconds": "4"})).json()
    image = (await house.client("s").create(IMAGE, payload={"prompt": "canary"})).json()
    answer = await house.admin("/api/jobs")
    shown = answer.json()
    assert "canary" not in answer.text
    assert (shown["total"], shown["has_more"]) == (2, False)
    assert [job["request_id"] for job in shown["jobs"]] == [image["request_id"], video["request_id"]]
    first, second = shown["jobs"]
    assert (first["team"], first["key"], first["model"]) == ("studio", "main", IMAGE)
    assert (first["status"], first["outcome"], first["price_usd"]) == ("success", "success", 0.035)
    assert first["settled_at"] is not None
    assert (second["outcome"], second["settled_at"], second["price_usd"]) == (None, None, 1.6)


async def test_jobs_are_found_by_team_model_and_status_page_by_page(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    for _ in range(3):
        await house.client("s").create(IMAGE)
    await house.client("k").create()

    async def count(query: str) -> int:
        return int((await house.admin(f"/api/jobs?{query}")).json()["total"])

    assert await count("team=studio") == 3
    assert await count("status=queued&team=studio") == 0
    assert await count(f"model={IMAGE}") == 3
    assert await count("status=success") == 3
    assert await count("status=ended") == 3
    assert await count("status=live") == 1
    assert await count("status=expired") == 0
    assert await count(f"team=marketing&model={IMAGE}") == 0
    page = (await house.admin("/api/jobs?team=studio&limit=2&offset=1")).json()
    assert (len(page["jobs"]), page["has_more"]) == (2, False)
    page = (await house.admin("/api/jobs?team=studio&limit=2")).json()
    assert (len(page["jobs"]), page["has_more"], page["total"]) == (2, True, 3)


async def test_denials_say_who_was_refused_what_and_why(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k", 'models: {allow: ["Veo3"]}\nlimits: [1 jobs per day]')})
    client = house.client("k")
    await client.create()
    over = await client.create(payload={"prompt": "canary prompt"})
    await client.create("Veo3-Ultra")
    await house.client("canary-key").create()
    answer = await house.admin("/api/denials")
    assert "canary" not in answer.text
    unknown, model, quota = answer.json()["denials"]
    assert (unknown["team"], unknown["key"], unknown["code"]) == ("other", "", "key_invalid")
    assert (model["team"], model["model"], model["code"]) == ("marketing", "Veo3-Ultra", "model_not_allowed")
    assert (quota["team"], quota["key"], quota["code"]) == ("marketing", "main", "quota_exceeded")
    assert quota["message"] == over.json()["error"]
    assert quota["request_id"] == over.headers["x-request-id"]


async def test_denials_are_found_by_team_and_code(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    await house.client("k").get("/nope")
    await house.client("s").get("/nope")
    await house.client("s").get("/api/v1/ie/requestqueue/apikey/requests/unknown-id")

    async def ids(query: str) -> list[tuple[str, str]]:
        found = (await house.admin(f"/api/denials?{query}")).json()["denials"]
        return [(denial["team"], denial["code"]) for denial in found]

    assert await ids("team=marketing") == [("marketing", "unknown_route")]
    assert await ids("team=studio&code=request_not_found") == [("studio", "request_not_found")]
    assert await ids("code=unknown_route") == [("studio", "unknown_route"), ("marketing", "unknown_route")]
    assert await ids("limit=1") == [("studio", "request_not_found")]
