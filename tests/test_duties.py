"""What goes on without being asked."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Connection

from gateway import duties, following
from gateway.app import opened
from gateway.context import Gateway
from gateway.ledger.clock import LedgerClock
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.readers import READERS
from gateway.ledger.values import Refused
from gateway.logs import logger
from gateway.settings import read_settings
from tests.clocks import WallClock, wall_clock
from tests.conftest import House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.ledger.samples import NOW, claim, reservation
from tests.postgres import Server, postgres
from tests.postgres_proxy import Proxy, proxy
from tests.scripted_upstream import response
from tests.served import eventually

__all__ = ["postgres", "proxy", "wall_clock"]


async def test_a_round_that_fails_is_reported_and_the_next_one_comes(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = asyncio.Semaphore(0)

    async def follow(_gw: Gateway) -> None:
        rounds.release()
        raise RuntimeError("a fault nobody foresaw")

    monkeypatch.setattr(following, "follow", follow)
    monkeypatch.setattr(duties, "SETTLE_EVERY", 0.01)
    async with opened(read_settings(environment, {}), environment):
        logger.addHandler(caplog.handler)
        for _ in range(3):
            await asyncio.wait_for(rounds.acquire(), 5)
        logger.removeHandler(caplog.handler)
    assert "task failed" in caplog.text


async def test_the_heap_is_put_together_until_no_memory_is_free_in_one_piece(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Pages:
        def due(self) -> list[int]:
            return [1, 2, 3]

        def collapse(self, address: int) -> bool:
            asked.append(address)
            return address == 1

    monkeypatch.setattr(duties, "HugePages", Pages)
    monkeypatch.setattr(duties, "GATHER_MEMORY_EVERY", 0.01)
    monkeypatch.setattr(duties, "BETWEEN_PAGES", 0)

    async def twice() -> bool:
        return len(asked) >= 4

    async with opened(read_settings(environment, {}), environment):
        await eventually(twice)
    assert asked[:4] == [1, 2, 1, 2]


async def test_changed_policies_are_read_without_being_asked(open_house: OpenHouse) -> None:
    house: House = await open_house({"a.yaml": team("a", "old")})
    (house.policies / "a.yaml").write_text(team("a", "new"))

    async def in_force() -> bool:
        answer = await house.client("new").get("/gateway/v1/usage")
        return answer.status_code == 200

    await house.eventually(in_force, 2.0)
    assert (await house.client("old").get("/gateway/v1/usage")).status_code == 401


async def test_old_records_are_forgotten_and_owners_are_not(open_house: OpenHouse, wall_clock: WallClock) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    client = house.client("key")
    answer = await client.create("seedream-5.0-lite")
    request_id = answer.json()["request_id"]
    wall_clock.advance(31 * 24 * 3600)
    again: House = await open_house({}, upstream=house.upstream.url)

    async def forgotten() -> bool:
        listed = await again.client("key").get(f"{Q}/requests")
        return bool(listed.json() == {"requests": [], "has_more": False, "total": 0})

    await again.eventually(forgotten)
    assert (await again.client("key").get(f"{Q}/requests/{request_id}")).content == answer.content


async def test_up9_a_credential_whose_key_is_mended_is_refused_no_more_although_nobody_calls(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "ASK_AGAIN_EVERY", 0.02)
    async with FakeUpstream() as upstream:
        house: House = await open_house({"a.yaml": team("a", "key")}, upstream.url)
        listing = ("GET", f"{Q}/models")
        upstream.answers[listing] = response(b"{}", "401 Unauthorized")
        assert (await house.client("key").get(f"{Q}/models")).status_code == 502
        asked = len(upstream.calls(*listing))

        async def asked_again() -> bool:
            return len(upstream.calls(*listing)) > asked + 1

        await house.eventually(asked_again)
        assert house.gw.upstream.keys.refused == ("default",)
        del upstream.answers[listing]

        async def taken() -> bool:
            return house.gw.upstream.keys.refused == ()

        await house.eventually(taken)


async def test_up9_a_credential_that_the_policies_do_not_name_any_more_is_refused_no_more(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "ASK_AGAIN_EVERY", 0.02)
    house: House = await open_house({"a.yaml": team("a", "key")})
    house.gw.upstream.keys.refuse("former")

    async def forgotten() -> bool:
        return house.gw.upstream.keys.refused == ()

    await house.eventually(forgotten)


class Coming:
    """A ledger that is there or not, as the test says."""

    is_open = True
    lost = False

    def __init__(self) -> None:
        self.there = True

    async def instant(self) -> float | None:
        if not self.there:
            raise LedgerUnavailable("the server is away")
        return None

    async def renew(self, _now: float) -> None:
        return


async def test_that_the_ledger_is_away_and_back_is_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    ledger, clock = Coming(), LedgerClock(lambda: 0.0, lambda: 0.0)
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger.name)
    for there in (True, False, False, True, True):
        ledger.there = there
        await duties.attend(cast("Ledger", ledger), clock)
    logger.removeHandler(caplog.handler)
    assert list(dict.fromkeys(record.message for record in caplog.records)) == ["ledger lost", "ledger back"]


@pytest.fixture
def database(postgres: Server) -> str:
    return postgres.ledger_database()


@pytest.fixture
async def ledger(database: str, proxy: Proxy) -> AsyncIterator[Ledger]:
    """A ledger on PostgreSQL whose connections go through the proxy, and which this gateway has attended to."""
    ledger = Ledger(proxy.url(database))
    await duties.attend(ledger, LedgerClock(lambda: NOW, time.perf_counter))
    assert ledger.healthy
    yield ledger
    proxy.flowing.set()
    await ledger.close()


async def healthy_after_a_round(ledger: Ledger) -> bool:
    await duties.attend(ledger, LedgerClock(lambda: NOW, time.perf_counter))
    return ledger.healthy


async def test_le5_a_server_that_says_nothing_is_no_ledger_until_it_speaks_again(ledger: Ledger, proxy: Proxy) -> None:
    proxy.flowing.clear()
    began = time.perf_counter()
    assert not await healthy_after_a_round(ledger)
    assert time.perf_counter() - began < 2
    proxy.flowing.set()
    await eventually(partial(healthy_after_a_round, ledger))


@pytest.mark.parametrize("table", ["counters", "reservations", "claims"])
async def test_le7_while_no_create_can_be_written_other_writes_make_the_ledger_no_better(
    ledger: Ledger, database: str, table: str
) -> None:
    with psycopg.connect(database) as other:
        other.execute(f"LOCK TABLE {table} IN SHARE MODE")
        assert not await healthy_after_a_round(ledger)
        await ledger.add_refusals({Refused("red", "key", "model", "rate_limited", 0.0): 1})
        assert not ledger.healthy
    assert await healthy_after_a_round(ledger)


async def test_le7_what_waits_for_one_teams_counters_is_no_sign_that_the_ledger_is_away(
    ledger: Ledger, database: str
) -> None:
    names = [str(number) for number in range(40)]
    await asyncio.gather(*(ledger.reserve(reservation(name, claim("red")), NOW) for name in names))
    with psycopg.connect(database) as other:
        other.execute("SELECT * FROM counters WHERE name = 'red' FOR UPDATE")
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(ledger.release(name, NOW, None)) for name in names]
        waiting += [asyncio.ensure_future(ledger.reserve(reservation(f"{n}-2", claim("red")), NOW)) for n in names]
        for _ in range(3):
            await asyncio.sleep(0.5)
            assert await healthy_after_a_round(ledger)
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_that_long_reads_hold_everybody_up_is_no_sign_that_the_ledger_is_away(ledger: Ledger) -> None:
    def sleep(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(1.9)")

    reading = [asyncio.ensure_future(ledger.survey(sleep)) for _ in range(READERS)]
    await asyncio.sleep(0.05)
    assert await healthy_after_a_round(ledger)
    await asyncio.gather(*reading, return_exceptions=True)


@pytest.mark.parametrize("duty", ["recover", "deliver"])
@pytest.mark.parametrize("turns", range(4))
async def test_a_duty_is_laid_down_also_when_it_was_woken_at_that_instant(
    open_house: OpenHouse, turns: int, duty: str
) -> None:
    gw = (await open_house({"a.yaml": team("a", "key")})).gw
    woken = gw.wake if duty == "recover" else gw.outbound.freed
    (pause,) = [pause for name, _, pause in duties._duties(gw, LedgerClock(gw.now, gw.ticks)) if name == duty]
    task = gw.tasks.start(pause(), "pause")
    await asyncio.sleep(0)
    woken.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
