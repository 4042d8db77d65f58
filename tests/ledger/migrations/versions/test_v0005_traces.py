from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, inspect

import gateway.ledger.migrations
from gateway.ledger import migrate
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.ledger import Ledger
from tests.ledger.samples import NOW, placement, reservation
from tests.postgres import Server

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(params=["sqlite", "postgresql"])
def earlier(request: pytest.FixtureRequest, tmp_path: object) -> str:
    """The URL of a ledger of 0004."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/gateway.db"
    else:
        server: Server = request.getfixturevalue("postgres")
        url = server.empty_database()
    engine = create_engine(url)
    upgrade(engine, "0004")
    assert "trace" not in {column["name"] for column in inspect(engine).get_columns("reservations")}
    engine.dispose()
    return url


def upgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", next(iter(gateway.ledger.migrations.__path__)))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


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
    monkeypatch.setattr(migrate, "KNOWN", ("0001", "0002", "0003", "0004"))
    monkeypatch.setattr(migrate, "HEAD", "0004")
    monkeypatch.setattr(migrate, "SUCCESSOR", "0005")
    backend_of(ledger_url(earlier)).prepare(ledger_url(earlier))
