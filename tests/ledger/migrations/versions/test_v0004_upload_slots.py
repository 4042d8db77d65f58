import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, inspect

import gateway.ledger.migrations
from gateway.ledger import migrate
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.ledger import Ledger
from tests.ledger.samples import NOW
from tests.ledger.test_slots import SLOT
from tests.postgres import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def earlier(request: pytest.FixtureRequest, tmp_path: object) -> str:
    """The URL of a ledger of 0003."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/gateway.db"
    else:
        server: Server = request.getfixturevalue("postgres")
        url = server.empty_database()
    engine = create_engine(url)
    upgrade(engine, "0003")
    assert not inspect(engine).has_table("upload_slots")
    engine.dispose()
    return url


def upgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", next(iter(gateway.ledger.migrations.__path__)))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


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
    monkeypatch.setattr(migrate, "KNOWN", ("0001", "0002", "0003"))
    monkeypatch.setattr(migrate, "HEAD", "0003")
    monkeypatch.setattr(migrate, "SUCCESSOR", "0004")
    backend_of(ledger_url(earlier)).prepare(ledger_url(earlier))
