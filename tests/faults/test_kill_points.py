"""Killed or halted at every step of a create and of a settlement, and what is left of it: rows KL0 to KL6."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from gateway.failpoints import Point
from tests.conftest import Client, team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS
from tests.faults.test_ambiguous_create import accepting
from tests.faults.unruly import CREATE, UnrulyUpstream, reset, sending
from tests.faults.wire import KEY_A
from tests.postgres import postgres
from tests.scripted_upstream import Script, response
from tests.served import Served, eventually
from tests.site import NOTHING, RUNNING, Site, database, halted, killed, site_at

__all__ = ["database", "postgres"]

KEYED = {"Idempotency-Key": "k"}
FAILED = {"jobs": 1, "slots": 0, "USD": 0}
"""The books of a job that failed."""


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    """Every row on each database."""
    async with site_at(tmp_path, database, {"a.yaml": team("a", KEY_A, LIMITS)}, UnrulyUpstream()) as site:
        yield site


def create(gateway: Served) -> "asyncio.Future[httpx.Response]":
    return asyncio.ensure_future(gateway.client(KEY_A).create(headers=KEYED))


async def dies_creating(gateway: Served) -> None:
    """A client's create ends with its gateway."""
    running = create(gateway)
    await killed(gateway)
    with pytest.raises(httpx.TransportError):
        await running


async def fails(client: Client, site: Site) -> bool:
    """Whether the client sees its only job failed, which upstream says from now on.

    It does not at once, where its gateway has looked by itself less than a second ago.
    """
    (request_id,) = site.upstream.jobs
    site.upstream.jobs[request_id] |= {"status": "failed", "outcome": {"error": "no"}}
    answer = await client.get(f"{Q}/requests/{request_id}")
    return answer.status_code == 200 and answer.json()["status"] == "failed"


async def is_the_teams(site: Site, gateway: Served) -> None:
    """The one job upstream made is the team's: read, listed, and what a repeat gets."""
    client = gateway.client(KEY_A)
    (request_id,) = site.upstream.jobs
    assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
    assert [each["request_id"] for each in (await client.get(f"{Q}/requests")).json()["requests"]] == [request_id]
    replay = await client.create(headers=KEYED)
    assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
    assert replay.headers["idempotency-replayed"] == "true"
    assert len(site.upstream.creates) == 1
    assert await site.books() == RUNNING


async def can_be_repeated(site: Site, gateway: Served, sent: int = 0) -> None:
    """Nothing is left of the create, and its key makes a job now."""
    assert len(site.upstream.creates) == sent
    assert await site.books() == NOTHING
    repeat = await gateway.client(KEY_A).create(headers=KEYED)
    assert (repeat.status_code, repeat.headers.get("idempotency-replayed")) == (200, None)
    assert len(site.upstream.creates) == sent + 1
    assert await site.books() == RUNNING


# --- a create ------------------------------------------------------------------------------------------------------

UNSENT = [Point.ADMITTED, Point.RESERVED, Point.MARKED_SENT]


@pytest.mark.parametrize("point", UNSENT)
async def test_kl0_kl1_kl2_what_was_not_sent_costs_nothing_and_can_be_repeated(site: Site, point: Point) -> None:
    await dies_creating(await site.start(f"{point}=kill"))
    assert len(await site.waiting()) == (point is not Point.ADMITTED)
    heir = await site.start()
    await site.all_clear()
    await can_be_repeated(site, heir)


@pytest.mark.parametrize("point", [Point.ANSWERED, Point.CONCLUDED])
async def test_kl3_kl4_what_upstream_accepted_is_the_teams(site: Site, point: Point) -> None:
    await dies_creating(await site.start(f"{point}=kill"))
    assert len(await site.waiting()) == (point is Point.ANSWERED)
    heir = await site.start()
    await site.all_clear()
    await is_the_teams(site, heir)


@dataclass(frozen=True)
class Loss:
    """What upstream does with the create, and whether there is a job afterwards."""

    script: Callable[[Site], Script]
    made: bool


LOSSES = {
    "reset-after": Loss(lambda site: accepting(site.upstream, reset), made=True),
    "reset-before": Loss(lambda _: reset, made=False),
    "503": Loss(lambda _: sending(response(b'{"error":"full"}', "503 Service Unavailable")), made=False),
    "504": Loss(lambda site: accepting(site.upstream, sending(response(b"edge", "504 Gateway Timeout"))), made=True),
}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
async def test_kl3_what_was_lost_with_its_gateway_is_found_or_given_back(site: Site, loss: Loss) -> None:
    gateway = await site.start("answered=kill")
    site.upstream.scripts[CREATE] = loss.script(site)
    await dies_creating(gateway)
    site.upstream.scripts.clear()
    heir = await site.start()
    await site.all_clear()
    await (is_the_teams(site, heir) if loss.made else can_be_repeated(site, heir, sent=1))
    await site.verify()


async def test_kl4_a_refusal_that_was_written_down_is_replayed(site: Site) -> None:
    gateway = await site.start("concluded=kill")
    site.upstream.scripts[CREATE] = sending(response(b'{"error":"no such thing"}', "400 Bad Request"))
    await dies_creating(gateway)
    site.upstream.scripts.clear()
    heir = await site.start()
    replay = await heir.client(KEY_A).create(headers=KEYED)
    assert (replay.status_code, replay.json()) == (400, {"error": "no such thing"})
    assert (len(site.upstream.creates), await site.books()) == (1, NOTHING)


# --- recovery ------------------------------------------------------------------------------------------------------

AGAIN = {Point.TAKING_OVER: Point.ANSWERED, Point.FOUND: Point.ANSWERED, Point.GIVEN_UP: Point.MARKED_SENT}
"""Where the heir dies, and where the one before it did."""


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("heirs", "first"), AGAIN.items())
async def test_kl7_whoever_dies_while_it_looks_after_anothers_create_is_followed_by_the_next(
    site: Site, heirs: Point, first: Point
) -> None:
    await dies_creating(await site.start(f"{first}=kill"))
    await killed(await site.start(f"{heirs}=kill"))
    assert len(await site.waiting()) == 1
    heir = await site.start()
    await site.all_clear()
    await (is_the_teams(site, heir) if first is Point.ANSWERED else can_be_repeated(site, heir))
    await site.verify()


# --- a settlement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [Point.LOOKED, Point.SETTLED])
async def test_kl6_a_refund_is_made_once(site: Site, point: Point) -> None:
    gateway = await site.start(f"{point}=kill")
    assert (await create(gateway)).status_code == 200
    with pytest.raises(httpx.TransportError):
        await eventually(partial(fails, gateway.client(KEY_A), site))
    await killed(gateway)
    assert await site.books() == (RUNNING if point is Point.LOOKED else FAILED)
    heir = await site.start()

    async def settled() -> bool:
        return await site.books() == FAILED

    await eventually(settled)
    assert await fails(heir.client(KEY_A), site)
    assert await site.books() == FAILED
    await site.verify()


# --- halted, not killed --------------------------------------------------------------------------------------------


async def goes_on(gateway: Served) -> None:
    gateway.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("point", UNSENT[1:])
async def test_kl5_who_slept_past_its_lease_does_not_send_what_others_gave_back(site: Site, point: Point) -> None:
    sleeper = await site.start(f"{point}=stop")
    other = await site.start()
    running = create(sleeper)
    await halted(sleeper)
    await site.all_clear()
    await goes_on(sleeper)
    answer = await running
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    await can_be_repeated(site, other)
    await site.verify()


@pytest.mark.parametrize("point", [Point.ANSWERED, Point.CONCLUDED])
async def test_kl5_an_answer_that_comes_late_changes_nothing(site: Site, point: Point) -> None:
    sleeper = await site.start(f"{point}=stop")
    other = await site.start()
    running = create(sleeper)
    await halted(sleeper)
    await site.all_clear()
    await is_the_teams(site, other)
    await goes_on(sleeper)
    (request_id,) = site.upstream.jobs
    assert (await running).json()["request_id"] == request_id
    await is_the_teams(site, sleeper)
    await site.verify()


async def test_kl5_an_end_seen_by_a_sleeper_is_settled_by_another_and_then_not_again(site: Site) -> None:
    sleeper = await site.start("looked=stop")
    assert (await create(sleeper)).status_code == 200
    polling = asyncio.ensure_future(eventually(partial(fails, sleeper.client(KEY_A), site)))
    await halted(sleeper)
    other = await site.start()

    async def settled() -> bool:
        return await site.books() == FAILED

    await eventually(settled)
    await goes_on(sleeper)
    await polling
    assert await fails(other.client(KEY_A), site)
    assert await site.books() == FAILED
    await site.verify()


def test_every_point_is_tried() -> None:
    tried = {*UNSENT, Point.ANSWERED, Point.CONCLUDED, *AGAIN, Point.LOOKED, Point.SETTLED}
    assert tried == set(Point)
