import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, MetaData, create_engine, insert, select

import gateway.ledger.migrations
from gateway.ledger import migrate
from gateway.ledger.engine import backend_of, ledger_url
from tests.postgres import Server

ROW = {
    **dict.fromkeys(("team", "key", "model", "credential"), "x"),
    **dict.fromkeys(("price", "seconds", "created_at", "updated_at"), 1),
    **dict.fromkeys(("body_digest", "payload_digest"), b"x"),
    **dict.fromkeys(("refused", "charge_failed"), False),
    "state": "reserved",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: object) -> str:
    """The URL of a database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    server: Server = request.getfixturevalue("postgres")
    return server.empty_database()


def upgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", next(iter(gateway.ledger.migrations.__path__)))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_the_gateway_before_goes_on_beside_it(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(empty)
    upgrade(engine, "0001")
    before = MetaData()
    before.reflect(engine)
    old = before.tables["reservations"]
    upgrade(engine, "0002")
    with engine.begin() as connection:
        connection.execute(insert(old).values(id="a", **ROW))
        assert connection.execute(select(old.c.id)).scalars().all() == ["a"]
        now = MetaData()
        now.reflect(connection)
        assert connection.execute(select(now.tables["reservations"].c.instance)).scalars().all() == [None]
    engine.dispose()
    monkeypatch.setattr(migrate, "KNOWN", ("0001",))
    monkeypatch.setattr(migrate, "HEAD", "0001")
    monkeypatch.setattr(migrate, "SUCCESSOR", "0002")
    backend_of(ledger_url(empty)).prepare(ledger_url(empty))
