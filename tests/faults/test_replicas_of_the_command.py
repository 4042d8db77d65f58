"""Two processes of the command on one ledger, with their clients' creates spread over both: rows AC, BU and ID."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Client, team
from tests.fake_upstream import Q
from tests.faults.test_ambiguous_create import accepting
from tests.faults.unruly import CREATE, LIST, UnrulyUpstream, reset, sending, silence
from tests.faults.wire import KEY_A, KEY_B
from tests.postgres import postgres
from tests.scripted_upstream import response
from tests.served import eventually
from tests.site import Site, database, site_at

__all__ = ["database", "postgres"]

KEYED = {"Idempotency-Key": "k"}
POLICIES = {
    "gateway.yaml": 'prices: [{models: ["*"], usd: 3, per: job}]\n',
    "a.yaml": team("a", KEY_A, "limits: [10 USD per month, 50 jobs per day, 50 jobs at once]\n"),
    "b.yaml": team("b", KEY_B, "limits: [10 jobs per day]\n"),
}


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_at(tmp_path, database, POLICIES, UnrulyUpstream()) as site:
        await asyncio.gather(site.start(), site.start())
        yield site
        await site.verify()


def clients(site: Site, key: str) -> tuple[Client, Client]:
    """One team's client of each process."""
    one, other = site.started
    return one.client(key), other.client(key)


async def spread(site: Site, key: str, count: int, headers: dict[str, str] | None = None) -> list[httpx.Response]:
    """So many creates at once, in turn to both."""
    turns = itertools.islice(itertools.cycle(clients(site, key)), count)
    return await asyncio.gather(*(client.create(headers=headers or {}) for client in turns))


async def test_bu1_bu4_a_budget_of_ten_buys_three_at_three_and_each_failure_one_more(site: Site) -> None:
    answers = await spread(site, KEY_A, 100)
    assert Counter(answer.status_code for answer in answers) == {200: 3, 402: 97}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 402} == {"budget_exceeded"}
    assert len(site.upstream.creates) == 3
    assert await site.books("a") == {"jobs": 3, "slots": 3, "USD": 9_000_000}

    request_id = next(iter(site.upstream.jobs))
    site.upstream.jobs[request_id] |= {"status": "failed", "outcome": {"error": "no"}}

    async def refunded() -> bool:
        polls = [client.get(f"{Q}/requests/{request_id}") for client in clients(site, KEY_A) for _ in range(5)]
        return {answer.json()["status"] for answer in await asyncio.gather(*polls)} == {"failed"}

    await eventually(refunded)
    assert await site.books("a") == {"jobs": 3, "slots": 2, "USD": 6_000_000}
    assert Counter(answer.status_code for answer in await spread(site, KEY_A, 10)) == {200: 1, 402: 9}


async def test_id3_id1_id2_of_twenty_equal_creates_one_executes_for_ever(site: Site) -> None:
    answers = await spread(site, KEY_B, 20, headers=KEYED)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len(site.upstream.creates) == 1
    (request_id,) = site.upstream.jobs
    heir = await site.start()
    for client in (*clients_of_all(site, KEY_B), heir.client(KEY_B)):
        replay = await client.create(headers=KEYED)
        assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
        other = await client.create(payload={"prompt": "another"}, headers=KEYED)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert (await site.books("b"))["jobs"] == 1


def clients_of_all(site: Site, key: str) -> list[Client]:
    return [gateway.client(key) for gateway in site.started]


async def test_id5_a_refusal_is_replayed_and_what_was_never_sent_executes_anew(site: Site) -> None:
    one, other = clients(site, KEY_B)
    site.upstream.scripts[CREATE] = sending(response(b'{"error":"no"}', "400 Bad Request"))
    assert (await one.create(headers=KEYED)).status_code == 400
    site.upstream.scripts.clear()
    replay = await other.create(headers=KEYED)
    assert (replay.status_code, replay.headers["idempotency-replayed"]) == (400, "true")
    assert (len(site.upstream.creates), (await site.books("b"))["jobs"]) == (1, 0)


async def test_ac1_ac2_a_lost_create_is_unknown_in_both_and_then_replayed_by_both(site: Site) -> None:
    one, other = clients(site, KEY_B)
    assert (await one.get(f"{Q}/models/Veo3")).status_code == 200
    site.upstream.scripts |= {CREATE: accepting(site.upstream, reset), LIST: silence}
    lost = await one.create(headers=KEYED)
    assert (lost.status_code, lost.json()["code"]) == (504, "outcome_unknown")
    for client in (one, other):
        repeat = await client.create(headers=KEYED)
        assert (repeat.status_code, repeat.json()["code"]) == (409, "outcome_unknown")
    assert (await site.books("b"))["jobs"] == 1
    site.upstream.scripts.clear()
    await site.all_clear()
    (request_id,) = site.upstream.jobs
    for client in (one, other):
        replay = await client.create(headers=KEYED)
        assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
    assert len(site.upstream.creates) == 1
