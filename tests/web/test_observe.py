"""What is written down of a call: closed labels, one line, nothing of the client's own."""

import json
from typing import Any

import pytest

from tests.conftest import House, OpenHouse, Q, team
from tests.web.conftest import LIMITS, OpenShop


def lines(house: House, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    house.gw.access_log.flush()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_one_line_a_call_with_names_and_times_alone(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    house, client = await open_shop(LIMITS, access_log="on")
    created = await client.create("Veo3", {"prompt": "canary-prompt"}, headers={"X-Request-ID": "order-1"})
    await client.get(f"{Q}/requests/{created.json()['request_id']}?secret=canary-query")
    await client.get("/canary-path")
    create, poll, unknown = lines(house, capsys)
    facts = ("time", "request_id", "client", "method", "route", "status", "ms", "upstream_ms", "team", "key", "model")
    assert create.keys() == {*facts, "usd", "seconds", "job"}
    assert (create["usd"], create["seconds"], create["job"]) == (3.2, 8, created.json()["request_id"])
    assert (create["request_id"], create["client"], create["method"]) == ("order-1", "127.0.0.1", "POST")
    assert (create["route"], create["status"], create["team"], create["key"]) == ("/requests", 200, "a", "main")
    assert 0 < create["upstream_ms"] < create["ms"]
    assert (poll["route"], poll["status"], "model" in poll) == ("/requests/{id}", 200, False)
    assert (unknown["route"], unknown["status"], unknown["code"]) == ("other", 404, "unknown_route")
    assert "canary" not in json.dumps([create, poll, unknown])


async def test_bu2_a_millionth_of_a_dollar_is_written_plainly(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    house, client = await open_shop("prices: [{models: ['*'], usd: 0.000001, per: job}]", access_log="on")
    await client.create("Veo3")
    house.gw.access_log.flush()
    assert '"usd":0.000001,' in capsys.readouterr().out


async def test_the_line_of_a_create_says_what_it_would_cost_also_when_it_is_refused_or_repeated(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    house, client = await open_shop(
        "limits: [4 USD per day]\npayload: [{models: [Kling*], parameters: {seed: {forbidden: true}}}]", access_log="on"
    )
    for key in ("one", "one", "two"):
        await client.create(headers={"Idempotency-Key": key})
    await client.create("Kling-Image2Video-V2.1-Master", {"seed": 1})
    placed, repeated, refused, rejected = lines(house, capsys)
    assert (placed["usd"], "replayed" in placed, refused["usd"]) == (3.2, False, 3.2)
    assert (repeated["replayed"], "job" in repeated, "job" in placed) == (True, False, True)
    assert (refused["code"], "job" in refused) == ("budget_exceeded", False)
    assert (rejected["code"], "usd" in rejected) == ("payload_rejected", False)


async def test_an_endless_model_name_is_not_written_down(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    house, client = await open_shop(access_log="on")
    for name in ("x" * 100_000, "Veo3\n"):
        assert (await client.create(name)).status_code == 403
    assert [line.get("model") for line in lines(house, capsys)] == [None, None]
    assert [denial.model for denial in house.gw.denials.latest(9)] == ["", ""]


async def test_ca1_labels_are_closed_whatever_is_asked(open_shop: OpenShop) -> None:
    house, client = await open_shop("models: {allow: [Veo3]}")
    for number in range(20):
        await client.get(f"/path-{number}", headers={"User-Agent": f"agent-{number}"})
        await client.get(f"{Q}/requests/id-{number}")
        await client.call("PROPFIND", f"{Q}/models")
        await client.create(f"model-{number}")
    await house.client("nobody").get("/")
    series = [line for line in (await house.admin("/metrics")).text.splitlines() if "gateway_requests_total{" in line]
    assert sorted(series) == [
        'gateway_requests_total{code="401",method="GET",route="other",team="other"} 1.0',
        'gateway_requests_total{code="403",method="POST",route="/requests",team="a"} 20.0',
        'gateway_requests_total{code="404",method="GET",route="/requests/{id}",team="a"} 20.0',
        'gateway_requests_total{code="404",method="GET",route="other",team="a"} 20.0',
        'gateway_requests_total{code="405",method="other",route="/models",team="a"} 20.0',
    ]


async def test_a_call_refused_at_the_door_counts_for_the_route_it_knocked_at(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    house, client = await open_shop("limits: [1 requests per hour]", access_log="on")
    statuses = [(await client.get(f"{Q}/models")).status_code for _ in range(2)]
    statuses.append((await house.client("nobody").get(f"{Q}/requests/some-job")).status_code)
    assert statuses == [200, 429, 401]
    metrics = (await house.admin("/metrics")).text
    assert 'gateway_requests_total{code="429",method="GET",route="/models",team="a"} 1.0' in metrics
    assert 'gateway_requests_total{code="401",method="GET",route="/requests/{id}",team="other"} 1.0' in metrics
    assert [line["route"] for line in lines(house, capsys)] == ["/models", "/models", "/requests/{id}"]


async def test_a_refusal_is_counted_and_kept_for_the_dashboard(open_shop: OpenShop) -> None:
    house, client = await open_shop("models: {allow: [Veo3]}")
    answer = await client.create("Veo3-Fast")
    (denial,) = house.gw.denials.latest(9)
    assert (denial.team, denial.key, denial.model, denial.code) == ("a", "main", "Veo3-Fast", "model_not_allowed")
    assert (denial.message, denial.request_id) == (answer.json()["error"], answer.headers["x-request-id"])
    assert 'gateway_denied_total{reason="model_not_allowed",team="a"} 1.0' in (await house.admin("/metrics")).text


async def test_what_upstream_refused_is_no_denial_of_ours(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    house.break_upstream("create_request:402")
    assert (await client.create()).status_code == 402
    assert house.gw.denials.latest(9) == []


async def test_the_time_upstream_takes_is_no_overhead(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    await client.create()
    house.break_upstream("create_request:latency:0.6", "get_request:latency:0.6")
    created = await client.create()
    await client.get(f"{Q}/requests/{created.json()['request_id']}")
    metrics = (await house.admin("/metrics")).text
    for route in ("/requests", "/requests/{id}"):
        inside = f'gateway_overhead_seconds_bucket{{le="0.5",route="{route}"}}'
        count = f'gateway_overhead_seconds_count{{route="{route}"}}'
        values = dict(line.rsplit(" ", 1) for line in metrics.splitlines())
        assert values[inside] == values[count]


async def test_what_can_be_no_model_is_not_written_down_as_one(
    open_shop: OpenShop, capsys: pytest.CaptureFixture[str]
) -> None:
    house, client = await open_shop(access_log="on")
    for length in (256, 257, 512):
        assert (await client.get(f"{Q}/models/{'x' * length}")).status_code in (403, 404)
    assert [line.get("model") for line in lines(house, capsys)] == ["x" * 256, None, None]


async def test_refusals_are_counted_by_models_no_client_can_make_up(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    for model in ("Veo3", "x" * 400, "made-up-1", "made-up-2"):
        await client.create(model, {})
        await client.get(f"{Q}/models/{model}-2")
    await house.client("nobody").create("Veo3")
    await house.gw.refusals.write()
    rows = await house.gw.ledger.usage(None, 0.0, house.gw.now())
    refused = {(row.team, row.key, row.model): row.refused for row in rows if row.refused}
    assert refused == {("a", "main", "Veo3"): 1, ("a", "main", "other"): 7}


async def test_a_refused_create_is_kept_with_every_rule_and_each_call_says_when_its_key_was_seen(
    open_house: OpenHouse,
) -> None:
    house = await open_house({"a.yaml": team("a", "k", "limits: [5 jobs per day]")})
    before = house.gw.now()
    await house.client("k").create("Veo3", {})
    (denial,) = house.gw.denials.latest(5)
    assert denial.code == "payload_rejected"
    assert [(rule, verdict) for rule, verdict, _ in denial.steps] == [
        ("scope", "pass"),
        ("model", "pass"),
        ("payload", "refuse"),
    ]
    assert denial.steps[-1][2] == denial.message
    await house.client("nobody").get("/gateway/v1/usage")
    seen = house.gw.key_uses.latest([])
    assert set(seen) == {("a", "main")}
    assert before <= seen["a", "main"] <= house.gw.now()


async def test_a_create_refused_by_a_limit_is_kept_with_what_explain_says_of_it(open_house: OpenHouse) -> None:
    limits = "limits: [{limit: 1 jobs per day, name: daily}, {limit: 9 jobs at once, name: slots}]"
    house = await open_house({"a.yaml": team("a", "k", limits)})
    client = house.client("k")
    assert (await client.create()).status_code == 200
    assert (await client.create()).status_code == 429
    (denial,) = house.gw.denials.latest(5)
    refusing = [(rule, text) for rule, verdict, text in denial.steps if verdict == "refuse"]
    draft = {"model": "Veo3", "payload": {"prompt": "a lighthouse"}}
    explained = (await client.call("POST", "/gateway/v1/explain", json=draft)).json()
    assert refusing == [(step["rule"], step["text"]) for step in explained["steps"] if step["verdict"] == "refuse"]
    assert [rule for rule, _ in refusing] == ["limit.daily"]
    assert [verdict for rule, verdict, _ in denial.steps if rule == "limit.slots"] == ["pass"]
