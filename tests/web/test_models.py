"""The catalogue as a team sees it: its own models, cached, conditional."""

import pytest

from tests.conftest import OpenHouse, Q, team

TEAMS = {
    "a.yaml": team("a", "key-a", 'models: {allow: ["Veo3*"], deny: [Veo3-Ultra]}'),
    "b.yaml": team("b", "key-b"),
}


async def test_ch1_one_listing_serves_every_team_its_own(open_house: OpenHouse) -> None:
    house = await open_house(TEAMS)
    a, b = await house.client("key-a").get(f"{Q}/models"), await house.client("key-b").get(f"{Q}/models")
    assert a.json()["model_ids"] == ["Veo3", "Veo3-Fast"]
    assert len(b.json()["model_ids"]) > 10
    assert house.received("list_models") == 1
    assert (a.headers["cache-status"], b.headers["cache-status"]) == ("gmi-gateway; fwd=miss", "gmi-gateway; hit")
    assert (a.headers["cache-control"], a.headers["age"]) == ("private, no-cache", "0")
    assert a.headers["etag"] != b.headers["etag"]


@pytest.mark.parametrize("path", [f"{Q}/models", f"{Q}/models/Veo3"])
async def test_ch4_who_has_it_gets_no_body(open_house: OpenHouse, path: str) -> None:
    house = await open_house(TEAMS)
    client = house.client("key-a")
    first = await client.get(path)
    assert first.headers["server-timing"].startswith("upstream;dur=")
    assert not first.headers["server-timing"].startswith("upstream;dur=0.000")
    etag = first.headers["etag"]
    for held in (etag, f"W/{etag}", f'"old", {etag}', "*"):
        again = await client.get(path, headers={"If-None-Match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["server-timing"].startswith("upstream;dur=0.000")
        assert "content-length" not in again.headers
    stale = await client.get(path, headers={"If-None-Match": '"old"'})
    assert (stale.status_code, stale.content) == (200, first.content)


async def test_a_detail_is_upstreams_bytes(open_house: OpenHouse) -> None:
    house = await open_house(TEAMS)
    answer = await house.client("key-a").get(f"{Q}/models/Veo3")
    direct = await house.http.get(
        f"{house.upstream.url}{Q}/models/Veo3", headers={"Authorization": "Bearer canary-real-upstream-key-0123456789"}
    )
    assert answer.content == direct.content
    assert answer.headers["content-type"] == direct.headers["content-type"]


@pytest.mark.parametrize(
    ("key", "model", "status", "code"),
    [
        ("key-a", "Veo3-Ultra", 403, "model_not_allowed"),
        ("key-a", "seedream-5.0-lite", 403, "model_not_allowed"),
        ("key-a", "Nothing", 403, "model_not_allowed"),
        ("key-a", "Veo3-Nothing", 404, "model_not_found"),
        ("key-b", "Nothing", 404, "model_not_found"),
        ("key-b", "%ff", 404, "model_not_found"),
    ],
)
async def test_a_model_outside_is_refused_or_not_there(
    open_house: OpenHouse, key: str, model: str, status: int, code: str
) -> None:
    house = await open_house(TEAMS)
    answer = await house.client(key).get(f"{Q}/models/{model}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert house.received("get_model") == 0


async def test_upstreams_own_error_is_passed_on_untouched(open_house: OpenHouse) -> None:
    house = await open_house(TEAMS)
    house.break_upstream("list_models:429")
    answer = await house.client("key-a").get(f"{Q}/models")
    assert (answer.status_code, answer.headers["cache-status"]) == (429, "gmi-gateway; fwd=miss")
    assert "rate_limit" in answer.json()
    assert "code" not in answer.json()
    assert "etag" not in answer.headers
    assert answer.headers["retry-after"] == "30"
