from dataclasses import replace

import pytest
from sqlalchemy import create_engine, inspect

from gateway.ledger.ledger import Ledger
from tests.ledger.migrations.schemas import prepare_as, upgrade
from tests.ledger.samples import NOW, placement, reservation

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def earlier(empty: str) -> str:
    """The URL of a ledger of 0004."""
    engine = create_engine(empty)
    upgrade(engine, "0004")
    assert "trace" not in {column["name"] for column in inspect(engine).get_columns("reservations")}
    engine.dispose()
    return empty


async def test_a_ledger_of_0004_keeps_traces(earlier: str) -> None:
    ledger = Ledger(earlier)
    await ledger.open()
    for name, trace in (("one", TRACE), ("two", None)):
        await ledger.reserve(replace(reservation(name), trace=trace), NOW)
        await ledger.mark_sent(name, NOW)
        await ledger.place(placement(name, f"request-{name}"), NOW)
        owner = await ledger.owner_of(f"request-{name}")
        assert owner is not None
        assert owner.trace == trace
    await ledger.close()


def test_the_gateway_before_goes_on_beside_it(earlier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(earlier)
    upgrade(engine, "0005")
    engine.dispose()
    prepare_as("0004", earlier, monkeypatch)
