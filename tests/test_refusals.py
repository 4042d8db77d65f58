"""What the gateway refused finds its way into the ledger."""

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest

from gateway.app import opened
from gateway.core.policy import Caller, Key, Period, Team
from gateway.core.windows import window_at
from gateway.duties import WRITE_REFUSALS_EVERY
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.refusals import MOST_KINDS, QUARTER, Refusals
from gateway.settings import read_settings
from tests.conftest import OpenHouse, team
from tests.ledger_troubles import held_by_another, on_writer

NOW = 1_800_000_000.0
RED = Caller(Team("red"), Key("web", ""))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def ledger(file: Path) -> AsyncIterator[Ledger]:
    opened = Ledger(f"sqlite:///{file}")
    await opened.open()
    yield opened
    await opened.close()


async def counted(ledger: Ledger) -> int:
    return sum(row.refused for row in await ledger.usage(None, 0.0, 2 * NOW))


def test_months_begin_at_a_quarter_of_an_hour_in_every_time_zone() -> None:
    for zone in sorted(available_timezones()):
        for month in (1, 7):
            window = window_at(Period.MONTH, zone, datetime(2026, month, 15, tzinfo=UTC).timestamp())
            assert (window.starts % QUARTER, window.ends % QUARTER) == (0, 0), zone


async def test_calls_count_once_in_the_quarter_they_fell_in(ledger: Ledger) -> None:
    refusals = Refusals(ledger)
    for now in (NOW - 0.001, NOW, NOW + QUARTER - 0.001, NOW + QUARTER):
        refusals.note(RED, "Veo3", "quota_exceeded", now)
    await refusals.write()
    await refusals.write()
    [row] = await ledger.usage("red", NOW, NOW + QUARTER)
    assert (row.team, row.key, row.model, row.refused) == ("red", "web", "Veo3", 2)
    assert await counted(ledger) == 4


async def test_while_the_ledger_is_away_they_wait(ledger: Ledger, file: Path) -> None:
    refusals = Refusals(ledger)
    refusals.note(RED, "Veo3", "quota_exceeded", NOW)
    await on_writer(ledger, "PRAGMA busy_timeout = 20")
    with held_by_another(str(file)):
        await refusals.write()
        refusals.note(RED, "Veo3", "quota_exceeded", NOW)
    assert await counted(ledger) == 0
    await refusals.write()
    assert await counted(ledger) == 2


async def test_only_so_many_kinds_wait_and_what_is_missing_is_said(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals(ledger)
    for number in range(MOST_KINDS + 3):
        refusals.note(RED, f"model-{number}", "quota_exceeded", NOW)
    refusals.note(RED, "model-0", "quota_exceeded", NOW)
    with caplog.at_level(logging.WARNING, "gateway"):
        await refusals.write()
    assert await counted(ledger) == MOST_KINDS + 1
    assert [(record.getMessage(), record.fields) for record in caplog.records] == [  # type: ignore[attr-defined]  # the formatter's own field
        ("refusals missing from usage", {"count": 3})
    ]


def written(house_ledger: str) -> int:
    """What the ledger's file holds, read past a gateway that may be closed."""
    with closing(sqlite3.connect(house_ledger.removeprefix("sqlite:///"))) as database:
        return int(database.execute("SELECT coalesce(sum(count), 0) FROM refusals").fetchone()[0])


async def test_a_gateway_writes_them_by_itself(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    await house.client("k").get("/nope")
    await house.eventually(lambda: written(house.gw.settings.ledger) == 1, WRITE_REFUSALS_EVERY + 3)


async def test_a_gateway_that_closes_writes_the_last_ones(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(team("marketing", "k"))
    ledger = f"sqlite:///{tmp_path / 'gateway.db'}"
    environment = {"GATEWAY_POLICIES": str(tmp_path), "GATEWAY_LEDGER": ledger, "GATEWAY_SIMULATE": "on"}
    async with opened(read_settings(environment, {}), environment) as (gw, _):
        [caller] = gw.policies.current.callers.values()
        gw.refusals.note(caller, "other", "unknown_route", gw.now())
    assert written(ledger) == 1


async def test_what_the_ledger_may_have_counted_is_not_counted_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, add_refusals = Refusals(ledger), Ledger.add_refusals

    async def answer_lost(ledger: Ledger, counts: Any) -> None:
        await add_refusals(ledger, counts)
        lost = LedgerUnavailable("the connection was cut while it committed")
        lost.may_be_done = True
        raise lost

    refusals.note(RED, "Veo3", "quota_exceeded", NOW)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add_refusals", answer_lost)
        await refusals.write()
    await refusals.write()
    assert await counted(ledger) == 1
