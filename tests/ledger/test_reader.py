import sqlite3
from pathlib import Path

import pytest

from gateway.core.claims import Claim, OnSettle
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.reader import ledger_exists, read_ledger
from gateway.ledger.values import Snapshot

NOW = 1795435200.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gateway.db'}"


async def test_it_reads_beside_a_ledger_that_is_open(url: str) -> None:
    ledger = Ledger(url)
    await ledger.open()
    kept = Snapshot(((b"content-type", b"application/json"),), b"{}", NOW)
    await ledger.save_snapshot("models", kept)
    await ledger.take([Claim("uploads/a//2026-11-23/", 3, 10, OnSettle.KEEP, (), NOW)])
    with read_ledger(url) as reader:
        assert reader.snapshot("models") == kept
        assert reader.snapshot("others") is None
        assert reader.used(["uploads/a//2026-11-23/", "unused"]) == {"uploads/a//2026-11-23/": 3, "unused": 0}
        assert reader.usage(None, 0.0, NOW * 2) == []
        assert reader.verify() == []
    await ledger.close()


def test_a_missing_ledger_is_not_created(url: str, tmp_path: Path) -> None:
    assert not ledger_exists(url)
    with pytest.raises(LedgerUnavailable, match="there is no ledger at"), read_ledger(url):
        pytest.fail("it was read")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_not_migrated(url: str, tmp_path: Path) -> None:
    (tmp_path / "gateway.db").touch()
    assert ledger_exists(url)
    with (
        pytest.raises(LedgerUnavailable, match="holds no ledger: put the ledger back, or point to it with --ledger"),
        read_ledger(url),
    ):
        pytest.fail("it was read")


async def test_le4_a_table_that_is_gone_is_a_sentence_not_a_traceback(url: str, tmp_path: Path) -> None:
    ledger = Ledger(url)
    await ledger.open()
    await ledger.close()
    connection = sqlite3.connect(tmp_path / "gateway.db")
    connection.execute("DROP TABLE snapshots")
    connection.close()
    with pytest.raises(LedgerUnavailable, match="cannot be read: no such table: snapshots"), read_ledger(url) as reader:
        reader.snapshot("models")
