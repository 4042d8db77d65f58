"""Gateways killed again and again under load, at whatever instant chance picks: row KL7.

Two workers of one command on SQLite; two replicas on PostgreSQL, whose own processes are killed, too.

`CAMPAIGN_KILLS` and `CAMPAIGN_SEED` make it longer, or another one.
"""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from psycopg import OperationalError

from tests.campaign import PRICE, SLOTS, TEAMS, Campaign, TrueUpstream
from tests.conftest import team
from tests.postgres import Server, postgres
from tests.site import site_at

__all__ = ["postgres"]

KILLS = int(os.environ.get("CAMPAIGN_KILLS", "8"))
SEED = int(os.environ.get("CAMPAIGN_SEED", "20261125"))
LIMITS = {"jobs": 15 * KILLS, "slots": SLOTS, "USD": 10 * KILLS * PRICE}
"""Few enough that the load meets each of them."""


def killing_a_process_of(server: Server, dice: random.Random) -> Callable[[], None]:
    """What kills one of the database's own processes: the server then drops every connection and recovers."""

    def kill() -> None:
        with suppress(OperationalError, ProcessLookupError):
            (chosen,) = dice.choice(server.run("SELECT pid FROM pg_stat_activity"))
            os.kill(int(str(chosen)), signal.SIGKILL)

    return kill


@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_kl7_after_random_kills_nothing_is_lost_doubled_or_stuck(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    dice = random.Random(f"{SEED} {database}")
    url, hurt = f"sqlite:///{tmp_path / 'gateway.db'}", None
    if database == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url, hurt = server.ledger(), killing_a_process_of(server, dice)
    limits = f"limits: [{LIMITS['jobs']} jobs per month, {SLOTS} jobs at once, {LIMITS['USD'] / 10**6} USD per month]\n"
    policies = {f"{name}.yaml": team(name, key, limits) for name, key in TEAMS.items()}
    async with site_at(tmp_path, url, policies, TrueUpstream(dice)) as site:
        assert isinstance(site.upstream, TrueUpstream)
        campaign = Campaign(site, site.upstream, dice, KILLS, LIMITS, database == "sqlite", hurt)
        await campaign.run()
        print(dict(campaign.killed), dict(campaign.answers), f"{len(site.upstream.jobs)} jobs")  # noqa: T201
        await campaign.proven()
