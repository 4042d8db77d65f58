import pytest
from sqlalchemy import MetaData, create_engine, insert, select

from tests.ledger.migrations.schemas import prepare_as, upgrade

ROW = {
    **dict.fromkeys(("team", "key", "model", "credential"), "x"),
    **dict.fromkeys(("price", "seconds", "created_at", "updated_at"), 1),
    **dict.fromkeys(("body_digest", "payload_digest"), b"x"),
    **dict.fromkeys(("refused", "charge_failed"), False),
    "state": "reserved",
}


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
    prepare_as("0001", empty, monkeypatch)
