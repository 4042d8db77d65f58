import pytest
from sqlalchemy import create_engine, inspect

from gateway.ledger.ledger import Ledger
from tests.ledger.migrations.schemas import prepare_as, upgrade
from tests.ledger.samples import NOW
from tests.ledger.test_slots import SLOT


@pytest.fixture
def earlier(empty: str) -> str:
    """The URL of a ledger of 0003."""
    engine = create_engine(empty)
    upgrade(engine, "0003")
    assert not inspect(engine).has_table("upload_slots")
    engine.dispose()
    return empty


async def test_a_ledger_of_0003_keeps_uploads(earlier: str) -> None:
    ledger = Ledger(earlier)
    await ledger.open()
    await ledger.slots.keep(SLOT)
    assert await ledger.slots.find(SLOT.digest, NOW) == SLOT
    await ledger.close()


def test_the_gateway_before_goes_on_beside_it(earlier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(earlier)
    upgrade(engine, "0004")
    engine.dispose()
    prepare_as("0003", earlier, monkeypatch)
