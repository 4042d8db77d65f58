import pytest

from gateway.ledger.delivery_values import Wanted
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from tests.ledger.samples import NOW


async def test_a_closed_ledger_has_no_outbox(ledger: Ledger) -> None:
    await ledger.close()
    with pytest.raises(LedgerUnavailable):
        await ledger.outbox.due(NOW, [], [], [], 1)
    with pytest.raises(LedgerUnavailable):
        await ledger.outbox.redeliver([], NOW)
    with pytest.raises(LedgerUnavailable):
        await ledger.outbox.bring_forward(NOW)
    with pytest.raises(LedgerUnavailable):
        await ledger.outbox.page(Wanted())
