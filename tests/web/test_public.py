"""The edge: the order of trust, what every answer carries, and faults that stay inside."""

import re
import time

import pytest

from gateway.context import Gateway
from gateway.logs import logger
from tests.conftest import OpenHouse, Q, digest, team
from tests.web.conftest import OpenShop

USAGE = "/gateway/v1/usage"


async def test_every_answer_has_an_id_its_times_and_what_is_left(open_shop: OpenShop) -> None:
    _, client = await open_shop()
    for path, status in ((USAGE, 200), (f"{Q}/models", 200), ("/nope", 404), (f"{Q}/requests/none", 404)):
        answer = await client.get(path, headers={"X-Request-ID": "order-1"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, "order-1")
        assert re.fullmatch(r"upstream;dur=\d+\.\d{3}, gateway;dur=\d+\.\d{3}", answer.headers["server-timing"])
        assert answer.headers["ratelimit-policy"] == '"requests-minute";q=600;w=60'
        assert re.fullmatch(r'"requests-minute";r=\d+;t=\d+', answer.headers["ratelimit"])


async def test_every_call_counts_and_the_next_one_is_told_when_to_come_back(open_shop: OpenShop) -> None:
    _, client = await open_shop("limits: [3 requests per hour]")
    statuses = [(await client.get(path)).status_code for path in (USAGE, "/nope", f"{Q}/requests?limit=x")]
    assert statuses == [200, 404, 400]
    answer = await client.get(USAGE)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (429, "rate_limited")
    assert body["rate_limit"]["limit_type"] == "requests per hour"
    assert body["rate_limit"]["retry_after_ms"] == 1000 * int(answer.headers["retry-after"])
    assert body["quota"]["name"] == "requests-hour"
    assert answer.headers["ratelimit"].startswith('"requests-hour";r=0;t=')


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ("[models]", {"models"}),
        ("[jobs:read]", {"list"}),
        ("[jobs]", {"list", "create", "explain"}),
        ("[uploads]", {"upload"}),
    ],
)
async def test_a_key_does_what_its_scopes_say(open_house: OpenHouse, scopes: str, allowed: set[str]) -> None:
    scoped = f"  - {{name: scoped, hash: {digest('key-s')}, scopes: {scopes}}}\n"
    policy = team("a", "key-a").replace("models:", f"{scoped}models:") + "uploads: {file_types: [png]}\n"
    house = await open_house({"a.yaml": policy})
    client = house.client("key-s")
    body = {"model": "Veo3", "payload": {"prompt": "x"}}
    answers = {
        "models": await client.get(f"{Q}/models"),
        "list": await client.get(f"{Q}/requests"),
        "create": await client.call("POST", f"{Q}/requests", json=body),
        "explain": await client.call("POST", "/gateway/v1/explain", json=body),
        "upload": await client.call("POST", f"{Q}/upload-url", json={"file_type": "png"}),
    }
    assert {name for name, answer in answers.items() if answer.status_code == 200} == allowed
    for name in answers.keys() - allowed:
        assert (answers[name].status_code, answers[name].json()["code"]) == (403, "scope_denied")
        assert "'scoped'" in answers[name].json()["error"]
    assert (await client.get(USAGE)).status_code == 200


async def test_a_shadow_limit_lets_pass_and_reports(open_shop: OpenShop) -> None:
    house, client = await open_shop("limits: [{limit: 1 requests per hour, mode: shadow, name: soft}]")
    for _ in range(3):
        answer = await client.get(USAGE)
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers
    assert 'gateway_quota_shadow_denied_total{limit="soft",team="a"} 2.0' in (await house.admin("/metrics")).text


async def test_more_calls_than_fit_are_shed(open_shop: OpenShop) -> None:
    house, client = await open_shop(max_in_flight="1")
    house.break_upstream("list_models:latency:0.5")
    slow = house.gw.tasks.start(client.get(f"{Q}/models"), "slow")
    await house.eventually(lambda: house.received("list_models") == 1)
    answer = await client.get(USAGE)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
    assert (await slow).status_code == 200
    assert (await client.get(USAGE)).status_code == 200


async def test_se3_a_fault_of_ours_says_nothing_but_its_id(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house, client = await open_shop()
    logger.addHandler(caplog.handler)

    async def fail(_: Gateway, *__: object) -> None:
        raise LookupError("canary-of-the-fault")

    monkeypatch.setattr("gateway.catalogue.listing", fail)
    answer = await client.get(f"{Q}/models")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "canary" not in answer.text
    assert "LookupError" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["unhandled"]
    assert (await client.get(USAGE)).status_code == 200
    assert house.gw.denials.latest(1)[0].code == "internal_error"
    logger.removeHandler(caplog.handler)


async def test_without_a_ledger_nothing_is_sent(open_shop: OpenShop) -> None:
    house, client = await open_shop()
    await house.gw.ledger.close()
    for answer in (await client.create(), await client.get(f"{Q}/requests"), await client.get(USAGE)):
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert house.received("create_request") == 0


async def test_time_lost_on_upstream_is_upstreams(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")}, upstream="http://127.0.0.1:1")
    started = time.perf_counter()
    answer = await house.client("key").get(f"{Q}/models")
    elapsed = 1000 * (time.perf_counter() - started)
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_unreachable")
    upstream, gateway = (float(part.partition("dur=")[2]) for part in answer.headers["server-timing"].split(", "))
    assert 0 < upstream <= elapsed
    assert gateway == 0
