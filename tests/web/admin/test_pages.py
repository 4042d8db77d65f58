"""The pages of the admin listener, as a browser without scripts gets them."""

import httpx
import pytest

from tests.conftest import House, OpenHouse, Q, digest, team

IMAGE = "seedream-5.0-lite"
FAILS = "luma-ray-2"
"""A model whose jobs fail."""

NASTY = "<script>alert('x')</script>\"&"
MARKETING = team("marketing", "k", "description: Launch films\nlimits: [3 jobs per day]")
FILES = {"a.yaml": MARKETING, "b.yaml": team("s", "s")}


async def see(house: House, path: str, status: int = 200) -> str:
    answer = await house.http.get(house.running.admin_url + path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    return answer.text


async def explain(house: House, **form: str) -> httpx.Response:
    return await house.http.post(house.running.admin_url + "/explain", data=form)


async def test_a_new_gateway_has_calm_empty_pages(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": "team: empty\n"})
    shown = await see(house, "/")
    for text in ("Nothing was spent", "Nothing was refused", "Upstream has not been called yet", "no limits"):
        assert text in shown
    own = await see(house, "/teams/empty")
    for text in ("This team has no limits", "No job is under way", "This team has no key", "No job was created"):
        assert text in own
    assert "No job has been created yet." in await see(house, "/jobs")
    await see(house, "/explain")


async def test_the_dashboard_leads_to_each_team(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    await house.client("k").create(IMAGE)
    shown = await see(house, "/")
    assert '<a href="/teams/marketing">marketing</a>' in shown
    assert "Launch films" in shown
    assert "1 of 3 jobs a day" in shown
    assert house.gw.policies.version[:12] in shown
    own = await see(house, "/teams/marketing")
    assert "33 % · resets" in own
    assert IMAGE in own


async def test_money_that_came_back_is_not_shown_as_spent(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")}, speed=10_000)
    kept = (await house.client("k").create(IMAGE)).json()["request_id"]
    failed = (await house.client("k").create(FAILS, {"prompt": "a lighthouse"})).json()["request_id"]
    await house.client("k").get(f"{Q}/requests/{failed}", headers={"Prefer": "wait=20"})

    async def is_told() -> bool:
        return "given back" in await see(house, "/jobs?status=failed")

    await house.eventually(is_told)
    rows = {
        job: (await see(house, "/jobs")).partition(f'data-key="{job}"')[2].partition("</tr>")[0]
        for job in (kept, failed)
    }
    assert "0.40 given back" in rows[failed]
    assert "given back" not in rows[kept]


async def test_a_key_is_shown_with_what_replaces_it(open_house: OpenHouse) -> None:
    ends = {"web": ", expires: 2099-01-01", "web-2": "", "app": ""}
    keys = [f"{{name: {name}, hash: '{digest(name)}'{end}}}" for name, end in ends.items()]
    house = await open_house({"a.yaml": f"team: marketing\nkeys: [{', '.join(keys)}]\nmodels: {{allow: ['*']}}\n"})
    shown = await see(house, "/teams/marketing")
    assert shown.count("replaced by") == 1
    assert "replaced by web-2" in shown.partition('data-key="web"')[2].partition("</tr>")[0]


async def test_what_teams_and_clients_can_write_is_text(open_house: OpenHouse) -> None:
    description = "description: '<img src=x onerror=alert(1)>'"
    house = await open_house({"a.yaml": team("marketing", "k", f"models: {{allow: [Veo3]}}\n{description}")})
    await house.client("k").create(NASTY, headers={"X-Request-ID": "id-1"})
    for path in ("/", "/teams/marketing", "/jobs?model=%3Cscript%3E&status=%22%3E%3Cscript%3E"):
        shown = await see(house, path)
        assert "<script>" not in shown
        assert "<img" not in shown
    assert "&lt;script&gt;alert" in await see(house, "/")
    answer = await explain(house, team="marketing", key="", model=NASTY, payload="</textarea><script>")
    assert "<script>" not in answer.text


async def test_jobs_that_are_too_many_to_count_are_not_given_a_number(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    await house.client("k").create(IMAGE)
    assert "<h2>1 job</h2>" in await see(house, "/jobs")
    monkeypatch.setattr("gateway.web.admin.pages.COUNTED", -49)
    assert "<h2>at least 1 job</h2>" in await see(house, "/jobs")


async def test_jobs_are_filtered_and_paged(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("s", "s")}, speed=10)
    ended = [(await house.client("k").create(IMAGE)).json()["request_id"] for _ in range(2)]
    live = (await house.client("s").create()).json()["request_id"]

    async def found(query: str) -> set[str]:
        shown = await see(house, f"/jobs?{query}")
        return {each for each in (*ended, live) if each in shown}

    assert await found("team=&model=&status=") == {*ended, live}
    assert "<option>expired</option>" in await see(house, "/jobs")
    assert await found("team=marketing") == set(ended)
    assert await found("status=live") == {live}
    assert await found("status=ended&team=marketing") == set(ended)
    assert await found("status=success") == set(ended)
    assert await found(f"model={IMAGE}&offset=1") == {ended[0]}
    assert await found("team=nobody") == set()
    assert 'href="/jobs?team=marketing&amp;offset=0" rel="prev"' in await see(house, "/jobs?team=marketing&offset=1")
    assert "`offset` must be a whole number" in await see(house, "/jobs?offset=x", 400)


async def test_more_jobs_than_a_page_holds_lead_on(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.admin.pages._PAGE", 1)
    house = await open_house(FILES)
    for _ in range(2):
        await house.client("k").create(IMAGE)
    shown = await see(house, "/jobs")
    assert 'href="/jobs?offset=1" rel="next"' in shown
    assert "2 jobs" in shown


async def test_explain_says_what_the_api_says(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    body = {"model": "Veo3", "payload": {"prompt": "x", "durationSeconds": "4"}}
    told = (await house.client("k").call("POST", "/gateway/v1/explain", json=body)).json()
    answer = await explain(
        house, team="marketing", key="main", model="Veo3", payload='{"prompt": "x", "durationSeconds": "4"}'
    )
    shown = answer.text.replace("&#39;", "'")
    assert answer.status_code == 200
    assert "Allowed" in shown
    assert [step["text"] for step in told["steps"] if step["text"] not in shown] == []
    assert told["price"]["text"] in shown
    assert house.received("create_request") == 0
    refused = await explain(house, team="marketing", key="", model="Veo3", payload="{}")
    assert "400 payload_rejected" in refused.text
    assert "`prompt` is missing: the model requires it." in refused.text


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"team": "nobody"}, "Choose one of the teams."),
        ({"key": "other"}, "Team marketing has no key of this name."),
        (
            {"payload": "{"},
            "at line 1, column 2.",
        ),
        ({"payload": '{}, "more": 1'}, "The payload is not JSON: Extra data at line 1, column 3."),
        ({"payload": " "}, "The payload is empty; write {} for one without parameters."),
        ({"payload": '{"a": 1, "a": 2}'}, "stands twice"),
        ({"payload": "[]"}, "`payload` must be an object"),
    ],
    ids=str,
)
async def test_a_form_that_cannot_be_explained_says_why(
    open_house: OpenHouse, form: dict[str, str], problem: str
) -> None:
    house = await open_house(FILES)
    filled = {"team": "marketing", "key": "", "model": "Veo3", "payload": "{}"} | form
    shown = (await explain(house, **filled)).text
    assert 'class="alarm"' in shown
    assert problem in shown


async def test_a_team_without_a_key_can_be_explained(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": "team: empty\nmodels: {allow: [Veo3]}\n"})
    shown = (await explain(house, team="empty", key="", model="Veo3", payload='{"prompt": "x"}')).text
    assert "Allowed" in shown


async def test_what_is_not_there_is_said_as_a_page(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    assert "The policies name no such team" in await see(house, "/teams/nobody", 404)
    assert "This page takes no parameters." in await see(house, "/?x=1", 400)
    assert (await house.admin("/files/secrets")).json()["code"] == "unknown_route"
    await house.gw.ledger.close()
    assert "The ledger does not answer" in await see(house, "/", 503)


async def test_a_file_that_a_browser_has_is_not_sent_again(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    url = house.running.admin_url + "/files/page.css"
    first = await house.http.get(url)
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    assert first.headers.get_list("x-content-type-options") == ["nosniff"]
    assert (await house.http.get(url, headers={"If-None-Match": first.headers["etag"]})).status_code == 304


async def test_a_reload_from_the_page_leads_back_to_it(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    (house.policies / "a.yaml").write_text("team: marketing\nlimts: []\n")
    answer = await house.http.post(house.running.admin_url + "/reload", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/#policies")
    shown = await see(house, "/")
    assert "a.yaml:2:1" in shown
    assert "the last good policies stay in force" in shown
