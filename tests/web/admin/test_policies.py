"""The policies in force, and reloading them."""

from typing import Any

from tests.conftest import REAL_KEY, REAL_ORG, OpenHouse, digest, team

GATEWAY = """
defaults: {uploads: {file_types: [png]}}
credentials:
  default: {api_key: env:GMI_API_KEY, organization: env:GMI_ORG_ID}
  studio: {api_key: [file:/run/secrets/studio, env:STUDIO_OLD], organization: canary-organization-text}
queueing: [{models: ["seedance-*"], fair: true}]
prices:
  - {models: [Veo3], usd: 0.40, per: second, seconds: durationSeconds, default_seconds: 8}
  - {models: ["seedance-*"], usd: 0.152, per: second, seconds: duration, when: {resolution: 720p}}
"""
TEAM = team(
    "marketing",
    "canary-team-key",
    """
models: {allow: ["Veo3*"], deny: [Veo3-Ultra]}
limits:
  - {limit: 500 USD per month, warn: [50%, 80%], name: money}
overrides:
  - {limit: 900 USD per month, until: 2099-12-01, reason: launch week}
payload:
  - models: ["Veo3*"]
    parameters:
      durationSeconds: {max: 8}
      negativePrompt: {forbidden: true}
webhooks: {hosts: [hooks.example], secret: env:HOOK_SECRET}
""",
)


async def shown(open_house: OpenHouse) -> dict[str, Any]:
    house = await open_house({"gateway.yaml": GATEWAY, "a.yaml": TEAM})
    answer: dict[str, Any] = (await house.admin("/api/policies")).json()
    return answer


async def test_defaults_and_overrides_are_taken_in(open_house: OpenHouse) -> None:
    policies = await shown(open_house)
    assert policies["last_reload_successful"] is True
    assert policies["unpriced"] == "refuse"
    assert policies["queueing"] == [{"models": ["seedance-*"], "fair": True}]
    [marketing] = policies["teams"]
    assert marketing["uploads"]["file_types"] == ["png"]
    assert marketing["models"] == {"allow": ["Veo3*"], "deny": ["Veo3-Ultra"]}
    [money] = marketing["limits"]
    assert (money["name"], money["limit"], money["without_overrides"]) == ("money", 900, 500)
    assert money["warn"] == [50, 80]
    assert money["overrides"] == [{"limit": 900, "until": "2099-12-01T00:00:00Z", "reason": "launch week"}]
    [rule] = marketing["payload"]
    assert rule["models"] == ["Veo3*"]
    assert {"name": "durationSeconds", "maximum": 8} in rule["parameters"]
    assert {"name": "negativePrompt", "forbidden": True} in rule["parameters"]


async def test_keys_show_their_hash_and_credentials_where_they_are_read(open_house: OpenHouse) -> None:
    policies = await shown(open_house)
    [marketing] = policies["teams"]
    assert [key["hash"] for key in marketing["keys"]] == [digest("canary-team-key")]
    assert marketing["webhooks"] == {"hosts": ["hooks.example"], "secret": "env:HOOK_SECRET"}
    assert policies["credentials"] == [
        {"name": "default", "api_keys": ["env:GMI_API_KEY"], "organization": "env:GMI_ORG_ID"},
        {"name": "studio", "api_keys": ["file:/run/secrets/studio", "env:STUDIO_OLD"], "organization": "text"},
    ]


async def test_prices_are_shown_in_dollars(open_house: OpenHouse) -> None:
    policies = await shown(open_house)
    veo, seedance = policies["prices"]
    assert (veo["models"], veo["usd"], veo["per"]) == (["Veo3"], 0.4, "second")
    assert (veo["quantity_field"], veo["default_quantity"]) == ("durationSeconds", 8)
    assert seedance["when"] == {"resolution": "720p"}


async def test_se1_no_secret_is_shown(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "canary-team-key")}, upstream="http://127.0.0.1:9")
    for path in ("/api/policies", "/readyz?verbose", "/api/teams"):
        text = (await house.admin(path)).text
        assert REAL_KEY not in text
        assert REAL_ORG not in text
        assert "canary" not in text


async def test_a_reload_puts_the_files_in_force_at_once(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "first")})
    before = house.gw.policies.version
    (house.policies / "a.yaml").write_text(team("marketing", "second"))
    answer = await house.http.post(house.running.admin_url + "/reload")
    assert answer.status_code == 200
    assert answer.json() == {"reloaded": True, "version": house.gw.policies.version, "problems": []}
    assert house.gw.policies.version != before
    assert (await house.client("first").get("/gateway/v1/usage")).status_code == 401
    assert (await house.client("second").get("/gateway/v1/usage")).status_code == 200


async def test_po2_a_bad_reload_names_every_problem_and_changes_nothing(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    before = house.gw.policies.version
    (house.policies / "a.yaml").write_text("team: marketing\nlimts: []\nmodles: []\n")
    answer = await house.http.post(house.running.admin_url + "/reload")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "policies_refused")
    assert (body["reloaded"], body["version"]) == (False, before)
    assert [problem.split(": ")[0].rsplit("/", 1)[1] for problem in body["problems"]] == ["a.yaml:2:1", "a.yaml:3:1"]
    assert (await house.client("k").get("/gateway/v1/usage")).status_code == 200
    metrics = (await house.admin("/metrics")).text
    assert "gateway_policy_last_reload_successful 0.0" in metrics
    (house.policies / "a.yaml").write_text(team("marketing", "k"))
    assert (await house.http.post(house.running.admin_url + "/reload")).status_code == 200
    assert "gateway_policy_last_reload_successful 1.0" in (await house.admin("/metrics")).text


async def test_another_sites_page_cannot_reload(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    url = house.running.admin_url + "/reload"
    answer = await house.http.post(url, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
