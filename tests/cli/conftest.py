"""Commands that find a folder with one team, and a ledger in which two teams did something."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.simulator import Settings, Simulator
from tests.command_line import FILMS, Shell
from tests.conftest import REAL_KEY, REAL_ORG, House, OpenHouse, Q, team


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Commands whose settings point into a folder of their own, with the team `films`."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "films.yaml").write_text(FILMS)
    environment = {"GATEWAY_POLICIES": str(policies), "GATEWAY_LEDGER": f"sqlite:///{tmp_path / 'gateway.db'}"}
    return Shell(capsys, policies, environment)


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """The URL of a simulated upstream whose jobs end at once, and which takes the real key alone."""
    async with Simulator(Settings(keys=(REAL_KEY,), organizations=(REAL_ORG,), speed=2000)) as simulator:
        yield simulator.url


@pytest.fixture
async def house(shell: Shell, upstream: str, open_house: OpenHouse) -> House:
    """A gateway on the shell's policies and ledger, which goes on running.

    `ads` made two images of $0.035, and `news` had a film fail that would have cost $0.40.
    """
    ads = team("ads", "ads-key", "limits: [{limit: 1 USD per month, name: money}, 3 jobs per day]")
    news = team("news", "news-key", "timezone: Asia/Tokyo")
    house: House = await open_house({"ads.yaml": ads, "news.yaml": news}, upstream)
    shell.environment["GATEWAY_UPSTREAM_URL"] = upstream
    shell.now = house.gw.now()
    for _ in range(2):
        made = await house.client("ads-key").create("seedream-5.0-lite")
        assert made.status_code == 200, made.text
    made = await house.client("news-key").create("luma-ray-2")
    path = f"{Q}/requests/{made.json()['request_id']}"

    async def has_failed() -> bool:
        return bool((await house.client("news-key").get(path)).json()["status"] == "failed")

    await house.eventually(has_failed)
    return house
