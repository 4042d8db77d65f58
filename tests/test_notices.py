"""Limits that only watch, or warn, are heard of alike whatever was taken from them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.webhooks import Standing
from gateway.ledger.delivery_values import Wanted
from gateway.logs import logger
from tests.clocks import WallClock, wall_clock
from tests.conftest import Client, House, OpenHouse, Q, team
from tests.postgres import Server, postgres
from tests.receiver import HOST, WEBHOOKS, certificates, outside, tls, trusting
from tests.scripted_upstream import ScriptedUpstream, answering, response

__all__ = ["certificates", "postgres", "trusting", "wall_clock"]


@pytest.fixture(autouse=True)
def listened_to(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A gateway that starts replaces the root's handlers, pytest's among them; those of its own logger it keeps."""
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


Take = Callable[[Client], Awaitable[int]]


async def create(client: Client) -> int:
    return (await client.create("vidu-q1")).status_code


async def upload(client: Client) -> int:
    return (await client.call("POST", f"{Q}/upload-url", json={"file_type": "png"})).status_code


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """The fields of these events since the last time."""
    fields = [vars(record)["fields"] for record in caplog.records if record.message == event]
    caplog.clear()
    return fields


async def house_with(open_house: OpenHouse, limit: str) -> tuple[House, Client]:
    policy = team("a", "key", f"uploads: {{file_types: [png]}}\nlimits: [{{{limit}, name: watched}}]")
    house = await open_house({"a.yaml": policy})
    return house, house.client("key")


@pytest.mark.parametrize(("unit", "take"), [("jobs", create), ("uploads", upload)])
async def test_a_shadow_limit_lets_pass_and_is_told_of(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture, unit: str, take: Take
) -> None:
    house, client = await house_with(open_house, f"limit: 1 {unit} per day, mode: shadow")
    assert await take(client) == 200
    assert told(caplog, "shadow limit passed") == []
    assert await take(client) == 200
    assert told(caplog, "shadow limit passed") == [{"team": "a", "limit": "watched"}]
    metrics = (await house.admin("/metrics")).text
    assert 'gateway_quota_shadow_denied_total{limit="watched",team="a"} 1.0' in metrics


@pytest.mark.parametrize(("unit", "take"), [("jobs", create), ("uploads", upload)])
async def test_a_limit_warns_once_when_it_becomes_so_full(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture, unit: str, take: Take
) -> None:
    _, client = await house_with(open_house, f"limit: 4 {unit} per day, warn: [50%]")
    heard = []
    for _ in range(3):
        assert await take(client) == 200
        heard.append(told(caplog, "limit filling up"))
    assert heard == [[], [{"team": "a", "limit": "watched", "percent": 50}], []]


@pytest.mark.parametrize(
    ("unit", "take", "broken"), [("jobs", create, "create_request"), ("uploads", upload, "upload_url")]
)
async def test_a_use_that_was_given_back_spends_no_warning(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture, unit: str, take: Take, broken: str
) -> None:
    house, client = await house_with(open_house, f"limit: 1 {unit} per day, warn: [50%]")
    for fault, status in (("402", 402), ("401", 502)):
        house.break_upstream(f"{broken}:{fault}")
        assert await take(client) == status
    assert told(caplog, "limit filling up") == []
    house.break_upstream()
    assert await take(client) == 200
    assert told(caplog, "limit filling up") == [{"team": "a", "limit": "watched", "percent": 50}]


@pytest.mark.parametrize(("fault", "status"), [("503", 503), ("reset-after", 504)])
async def test_a_create_in_doubt_counts_as_a_use(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture, fault: str, status: int
) -> None:
    house, client = await house_with(open_house, "limit: 1 jobs per day, warn: [50%]")
    house.break_upstream(f"create_request:{fault}")
    assert await create(client) == status
    assert told(caplog, "limit filling up") == [{"team": "a", "limit": "watched", "percent": 50}]


@pytest.fixture
async def receiver(trusting: Path) -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(answering(response()), tls=tls(trusting)) as receiver:
        yield receiver


def notifying(limits: str) -> dict[str, str]:
    body = f"uploads: {{file_types: [png]}}\n{WEBHOOKS}\nnotify: https://{HOST}/limits\nlimits: {limits}"
    return {"a.yaml": team("a", "key", body)}


def events(receiver: ScriptedUpstream) -> list[Any]:
    return [json.loads(request.body) for request in receiver.requests]


@pytest.mark.parametrize(("unit", "take"), [("jobs", create), ("uploads", upload)])
async def test_a_team_is_told_of_each_threshold_once(
    open_house: OpenHouse, receiver: ScriptedUpstream, unit: str, take: Take
) -> None:
    files = notifying(f"[{{limit: 4 {unit} per day, warn: [50%, 100%], name: watched}}]")
    house = await open_house(files, outside=outside(receiver))
    for _ in range(4):
        assert await take(house.client("key")) == 200
    await house.eventually(lambda: len(receiver.requests) == 2)
    half, full = sorted(events(receiver), key=lambda event: event["data"]["percent"])
    assert (half["type"], half["data"]["percent"], half["data"]["used"]) == ("limit.warning", 50, 2)
    assert full["data"] == half["data"] | {"percent": 100, "used": 4}
    assert half["data"] | {"resets_at": ""} == {
        "team": "a",
        "limit": "watched",
        "meaning": f"4 {unit} per day",
        "percent": 50,
        "used": 2,
        "ceiling": 4,
        "unit": unit,
        "resets_at": "",
    }
    assert {request.target for request in receiver.requests} == {"/limits"}
    assert all((request.header("webhook-signature") or "").startswith("v1,") for request in receiver.requests)


async def test_a_level_warns_once_a_day_and_money_is_in_usd(
    open_house: OpenHouse, receiver: ScriptedUpstream, wall_clock: WallClock
) -> None:
    limits = "[{limit: 1 jobs at once, warn: [100%], name: slots}, {limit: 0.14 USD per month, warn: [25%], name: m}]"
    house = await open_house(notifying(limits), outside=outside(receiver))
    for _ in range(2):
        assert (await house.client("key").create("seedream-5.0-lite")).status_code == 200
    await house.eventually(lambda: len(receiver.requests) == 2)
    by_limit = {event["data"]["limit"]: event["data"] for event in events(receiver)}
    assert (by_limit["slots"]["resets_at"], by_limit["slots"]["unit"]) == (None, "jobs")
    assert (by_limit["m"]["used"], by_limit["m"]["ceiling"], by_limit["m"]["unit"]) == (0.035, 0.14, "USD")
    wall_clock.advance(86_400)
    assert (await house.client("key").create("seedream-5.0-lite")).status_code == 200
    await house.eventually(lambda: [event["data"]["limit"] for event in events(receiver)].count("slots") == 2)


async def test_a_millionth_of_a_dollar_is_told_plainly(open_house: OpenHouse, receiver: ScriptedUpstream) -> None:
    files = notifying("[{limit: 0.000006 USD per month, warn: [50%], name: m}]")
    prices = {"gateway.yaml": "prices: [{models: ['*'], usd: 0.000003, per: job}]"}
    house = await open_house(files | prices, outside=outside(receiver))
    assert (await house.client("key").create("seedream-5.0-lite")).status_code == 200
    await house.eventually(lambda: len(receiver.requests) == 1)
    assert b'"used":0.000003,"ceiling":0.000006,' in receiver.requests[0].body


async def test_of_two_gateways_one_tells(open_house: OpenHouse, receiver: ScriptedUpstream, postgres: Server) -> None:
    ledger = postgres.ledger()
    files = notifying("[{limit: 2 jobs at once, warn: [50%], name: slots}, {limit: 8 jobs per day, warn: [50%]}]")
    first = await open_house(files, outside=outside(receiver), ledger=ledger)
    second = await open_house({}, upstream=first.upstream.url, outside=outside(receiver), ledger=ledger)
    for _ in range(4):
        await asyncio.gather(*(house.client("key").create("seedream-5.0-lite") for house in (first, second)))

    async def all_told() -> bool:
        found, _ = await first.gw.ledger.outbox.page(Wanted())
        return len(found) == 2 and {each.standing for each in found} == {Standing.DELIVERED}

    await first.eventually(all_told, 10)
    assert sorted(event["data"]["limit"] for event in events(receiver)) == ["jobs-day", "slots"]
