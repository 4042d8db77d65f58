"""Limits that only watch, or warn, are heard of alike whatever was taken from them."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from gateway.logs import logger
from tests.conftest import Client, House, OpenHouse, Q, team


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
