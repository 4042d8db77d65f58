from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Snapshot
from tests.ledger.samples import NOW

HEADERS = ((b"content-type", b"application/json"),)


async def test_a_snapshot_is_kept_until_a_newer_one_comes(ledger: Ledger) -> None:
    assert await ledger.load_snapshot("models/default") is None
    old, new = Snapshot(HEADERS, b"old", NOW), Snapshot(HEADERS, b"new", NOW + 1)
    await ledger.save_snapshot("models/default", new)
    await ledger.save_snapshot("models/default", old)
    await ledger.save_snapshot("models/studio", old)
    assert await ledger.load_snapshot("models/default") == new
    assert await ledger.load_snapshot("models/studio") == old
