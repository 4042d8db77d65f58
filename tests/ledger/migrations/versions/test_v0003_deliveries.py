import pytest
from sqlalchemy import MetaData, create_engine, insert

from gateway.core.lifecycle import Outcome
from gateway.core.webhooks import Standing
from gateway.ledger.delivery_values import Wanted
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Sighting
from tests.ledger.migrations.schemas import prepare_as, upgrade
from tests.ledger.samples import NOW, create, run_sql
from tests.ledger.test_deliveries import told


async def test_a_ledger_of_0002_tells_ends_that_either_gateway_sees(empty: str) -> None:
    engine = create_engine(empty)
    upgrade(engine, "0002")
    before = MetaData()
    before.reflect(engine)
    assert "deliveries" not in before.tables
    upgrade(engine, "0003")
    ledger = Ledger(empty)
    await ledger.open()
    for name in ("a", "b"):
        await create(ledger, told(name))
    # a gateway of 0002 knows nothing of deliveries, and settles and releases all the same
    run_sql(empty, f"UPDATE reservations SET state = 'settled', outcome = 'success', updated_at = {NOW} WHERE id = 'a'")
    (due,) = await ledger.outbox.due(NOW, [], [], [], 10)
    (delivery,) = await ledger.outbox.claim([due], NOW, NOW + 60)
    assert b'"type":"request.success"' in delivery.body
    await ledger.settle(Sighting("request-b", "failed", None), Outcome.FAILED, NOW)
    found, _ = await ledger.outbox.page(Wanted())
    assert {each.standing for each in found} == {Standing.DUE}
    await ledger.close()
    engine.dispose()


def test_the_gateway_before_goes_on_beside_it(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(empty)
    upgrade(engine, "0002")
    before = MetaData()
    before.reflect(engine)
    upgrade(engine, "0003")
    row = {
        **dict.fromkeys(("id", "team", "key", "model", "credential"), "x"),
        **dict.fromkeys(("price", "seconds", "created_at", "updated_at"), 1),
        **dict.fromkeys(("body_digest", "payload_digest"), b"x"),
        **dict.fromkeys(("refused", "charge_failed"), False),
        "state": "reserved",
    }
    with engine.begin() as connection:
        connection.execute(insert(before.tables["reservations"]).values(row))
    engine.dispose()
    run_sql(empty, "UPDATE reservations SET state = 'released'")
    prepare_as("0002", empty, monkeypatch)
