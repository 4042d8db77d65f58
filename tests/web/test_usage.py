"""What a team is told of its own policy: usage to the micro-dollar, and the reasons of a decision."""

import re

from tests.conftest import Q
from tests.web.conftest import OpenShop

RFC3339 = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"
USAGE, EXPLAIN = "/gateway/v1/usage", "/gateway/v1/explain"


async def test_usage_is_exactly_the_contracts_body(open_shop: OpenShop) -> None:
    _, client = await open_shop()
    await client.create("Veo3", {"prompt": "x", "durationSeconds": "8"})
    answer = await client.get(USAGE)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert list(body) == ["team", "key", "limits", "month"]
    assert (body["team"], body["key"]) == ("a", "main")
    assert body["month"] == {"jobs": 1, "usd": 3.2, "by_model": {"Veo3": {"jobs": 1, "usd": 3.2}}}
    limits = {limit["name"]: limit for limit in body["limits"]}
    assert list(limits) == ["requests-minute", "jobs-day", "jobs-at-once", "money", "uploads-day-per-key", "kling"]
    for limit in limits.values():
        resets_at = limit.pop("resets_at")
        assert (resets_at is None) == (limit["window"] == "at once")
        assert resets_at is None or re.fullmatch(RFC3339, resets_at)
    assert limits["requests-minute"] == {
        "name": "requests-minute",
        "limit": 600,
        "unit": "requests",
        "window": "minute",
        "scope": "team",
        "models": [],
        "mode": "enforce",
        "used": 2,
        "remaining": 598,
    }
    shown = {name: (each["unit"], each["limit"], each["used"], each["remaining"]) for name, each in limits.items()}
    assert shown["jobs-day"] == ("jobs", 5, 1, 4)
    assert shown["jobs-at-once"] == ("jobs", 3, 1, 2)
    assert shown["money"] == ("USD", 20, 3.2, 16.8)
    assert shown["uploads-day-per-key"] == ("uploads", 2, 0, 2)
    assert limits["uploads-day-per-key"]["scope"] == "key"
    assert (limits["kling"]["mode"], limits["kling"]["models"]) == ("shadow", ["Kling-*"])


async def test_a_limit_lowered_below_its_use_has_nothing_left(open_shop: OpenShop) -> None:
    house, client = await open_shop("limits: [5 jobs per day]")
    for _ in range(3):
        assert (await client.create()).status_code == 200
    policy = house.policies / "a.yaml"
    policy.write_text(policy.read_text().replace("5 jobs", "2 jobs"))

    async def lowered() -> bool:
        (limit,) = (await client.get(USAGE)).json()["limits"]
        return bool(limit["limit"] == 2)

    await house.eventually(lowered)
    (limit,) = (await client.get(USAGE)).json()["limits"]
    assert (limit["used"], limit["remaining"]) == (3, 0)


async def test_explain_tells_each_rule_and_charges_nothing(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    body = {"model": "Veo3", "payload": {"prompt": "x", "durationSeconds": "8"}}
    answer = await client.call("POST", EXPLAIN, json=body)
    told = answer.json()
    assert list(told) == ["allowed", "code", "error", "price", "seconds", "steps"]
    assert (told["allowed"], told["code"], told["error"], told["seconds"]) == (True, None, None, 8)
    assert told["price"]["usd"] == 3.2
    rules = [step["rule"] for step in told["steps"]]
    assert rules[:4] == ["scope", "model", "payload", "price"]
    assert "limit.money" in rules
    assert all(step.keys() == {"rule", "verdict", "text"} for step in told["steps"])
    assert house.received("create_request") == 0
    assert (await client.get(USAGE)).json()["month"] == {"jobs": 0, "usd": 0, "by_model": {}}


async def test_explain_refuses_as_the_create_would(open_shop: OpenShop) -> None:
    _, client = await open_shop("limits: [1 jobs per day]\nmodels: {allow: [Veo3]}")
    for body in (
        {"model": "Veo3-Fast", "payload": {"prompt": "x"}},
        {"model": "Veo3", "payload": {}},
    ):
        told = (await client.call("POST", EXPLAIN, json=body)).json()
        refused = (await client.call("POST", f"{Q}/requests", json=body)).json()
        assert (told["allowed"], told["code"], told["error"]) == (False, refused["code"], refused["error"])
        assert told["price"] == {"usd": None, "text": ""}
    assert (await client.create()).status_code == 200
    told = (await client.call("POST", EXPLAIN, json={"model": "Veo3", "payload": {"prompt": "x"}})).json()
    assert (told["allowed"], told["code"]) == (False, "quota_exceeded")
    assert told["steps"][-1]["verdict"] == "refuse"


async def test_explain_tells_no_price_where_it_is_unknown_and_a_free_job_costs_nothing(open_shop: OpenShop) -> None:
    _, client = await open_shop(
        "limits: [5 jobs per day]\nprices:\n"
        "  - {models: [Veo3], usd: 1, per: second, seconds: clipSeconds}\n"
        "  - {models: [Veo3-Fast], usd: 0, per: job}"
    )
    for model, usd in {"Veo3": None, "Veo3-Fast": 0}.items():
        told = (await client.call("POST", EXPLAIN, json={"model": model, "payload": {"prompt": "x"}})).json()
        assert (told["allowed"], told["price"]["usd"]) == (True, usd), told
        assert told["price"]["text"]
