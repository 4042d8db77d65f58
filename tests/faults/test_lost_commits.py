"""The connection to the database is cut around each COMMIT of a create: there is one reservation, and one job."""

import pytest

from gateway import duties
from tests.conftest import OpenHouse, team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS
from tests.faults.unruly import UnrulyUpstream
from tests.faults.wire import KEY_A
from tests.ledger.samples import run_sql
from tests.postgres import Server, postgres
from tests.postgres_proxy import Proxy, proxy

__all__ = ["postgres", "proxy"]

COMMITS = ("reserve", "mark sent", "place")


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.parametrize("when", ["before", "while", "after"])
async def test_le5_a_commit_whose_answer_is_lost_is_made_once(
    open_house: OpenHouse, postgres: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, commit: str, when: str
) -> None:
    for pause in ("ATTEND_EVERY", "SETTLE_EVERY", "WRITE_REFUSALS_EVERY"):
        monkeypatch.setattr(duties, pause, 3600.0)  # so that nobody else commits
    database = postgres.ledger()
    async with UnrulyUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", KEY_A, LIMITS)}, upstream.url, ledger=proxy.url(database))
        client = house.client(KEY_A)
        assert (await client.get(f"{Q}/models/Veo3")).status_code == 200
        await house.eventually(lambda: len(run_sql(database, "SELECT 1 FROM snapshots")) == 2)

        proxy.spared, proxy.lose = COMMITS.index(commit), when
        once = {"Idempotency-Key": "k"}
        answer = await client.create(headers=once)
        assert (answer.status_code, proxy.armed) == (200, False)
        (request_id,) = upstream.jobs

        async def placed() -> bool:
            return run_sql(database, "SELECT state FROM reservations") == [("placed",)]

        await house.eventually(placed)
        assert run_sql(database, "SELECT request_id FROM jobs") == [(request_id,)]
        counted = "SELECT value FROM counters WHERE starts_with(name, 'jobs/')"
        assert run_sql(database, counted) == [(1,), (1,)]
        assert await house.gw.ledger.verify() == []
        replay = await client.create(headers=once)
        assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
        assert len(upstream.creates) == 1
