"""The admin listener as a whole: its paths, and its errors."""

from typing import Any

import pytest

from gateway.core.errors import Code
from tests.conftest import OpenHouse, team

PATHS = (
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/teams",
    "/api/teams/marketing",
    "/api/jobs",
    "/api/usage",
    "/api/denials",
    "/api/policies",
)


async def test_every_page_answers_get_and_head_and_nothing_else(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    for path in PATHS:
        answer = await house.admin(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path
        head = await house.http.head(house.running.admin_url + path)
        assert (head.status_code, head.content) == (200, b"")
        posted = await house.http.post(house.running.admin_url + path)
        assert (posted.status_code, posted.json()["code"]) == (405, "method_not_allowed")
        assert set(posted.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_any_other_path_is_unknown_and_nothing_is_redirected(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    for path in ("/nope", "/api", "/api/teams/", "/api/teams/a/b", "/healthz/", "/metrics%00"):
        answer = await house.admin(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route"), path
    said = answer.json()["error"]
    assert said.startswith("There is no such page on this listener; it has /, /teams/{team}, ")
    assert all(path.replace("marketing", "{team}") in said for path in (*PATHS, "/reload"))


async def test_a_token_guards_all_but_probes_and_metrics(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")}, admin_token="canary-token")
    statuses = {path: (await house.admin(path)).status_code for path in PATHS}
    assert {path for path, status in statuses.items() if status == 200} == {"/metrics", "/healthz", "/readyz"}
    assert set(statuses.values()) == {200, 401}
    right = {"Authorization": "Bearer canary-token"}
    answer = await house.http.get(house.running.admin_url + "/api/teams", headers=right)
    assert answer.status_code == 200
    team_key = await house.http.get(house.running.admin_url + "/api/teams", headers={"Authorization": "Bearer k"})
    assert team_key.json()["code"] == "key_invalid"


async def test_the_public_listener_knows_none_of_it(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    for path in PATHS:
        assert (await house.client("k").get(path)).json()["code"] == "unknown_route"


async def test_a_query_that_means_nothing_is_refused(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    for path, message in {
        "/api/jobs?limit=0": "`limit` must be a whole number from 1 to 200.",
        "/api/jobs?limit=1e9": "`limit` must be a whole number from 1 to 200.",
        "/api/jobs?offset=-1": "`offset` must be a whole number from 0 to 10000000.",
        "/api/jobs?team=a&team=b": "`team` may stand once, with a value.",
        "/api/jobs?team=": "`team` may stand once, with a value.",
        "/api/denials?limit=1001": "`limit` must be a whole number from 1 to 1000.",
        "/api/denials?teams=a": "This page takes `team`, `code`, `limit` and nothing else.",
        "/api/usage?month=2026-13": "`month` must be a year and month such as `2026-11`.",
        "/api/usage?month=2026-11-01": "`month` must be a year and month such as `2026-11`.",
        "/api/teams?team=a": "This page takes no parameters.",
        "/api/jobs?team=nope": "There is no such `team`; it may be `marketing`.",
        "/api/usage?team=nope": "There is no such `team`; it may be `marketing`.",
        "/api/denials?team=nope": "There is no such `team`; it may be `marketing`, `other`.",
        "/api/jobs?status=bogus": (
            "There is no such `status`; it may be "
            "`cancelled`, `created`, `dispatched`, `ended`, `expired`, "
            "`failed`, `live`, `processing`, `queued`, `success`."
        ),
    }.items():
        answer = await house.admin(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), path
        assert answer.json()["error"] == message


async def test_an_unknown_code_is_told_those_there_are(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    answer = await house.admin("/api/denials?code=bogus")
    assert answer.status_code == 400
    assert all(f"`{code}`" in answer.json()["error"] for code in Code)
    assert (await house.admin("/api/denials?code=key_invalid&team=other")).json() == {"denials": []}


async def test_without_ledger_the_pages_say_so_and_the_probes_live(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    await house.gw.ledger.close()
    for path in ("/api/teams", "/api/jobs", "/api/usage"):
        answer = await house.admin(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert answer.headers["retry-after"] == "2"
    for path in ("/healthz", "/metrics", "/api/policies", "/api/denials"):
        assert (await house.admin(path)).status_code == 200


async def test_se3_a_fault_of_ours_shows_an_id_and_nothing_else(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})

    async def fail(*_: Any) -> None:
        raise RuntimeError("canary-secret")

    monkeypatch.setattr(type(house.gw.ledger), "usage", fail)
    answer = await house.http.get(house.running.admin_url + "/api/usage", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "The gateway failed on this request; see its log.",
        "code": "internal_error",
        "request_id": "mine",
    }
    assert (await house.admin("/healthz")).status_code == 200
