import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from gateway.ledger.engine import ledger_url
from gateway.ledger.migrate import HEAD, migrate, version_of
from gateway.ledger.sqlite import writing_engine
from gateway.ledger.upgrade import upgrade


def made_of(file: Path) -> dict[str, str]:
    """Every table, index and trigger by name, as SQLite keeps it, without the way it is laid out."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
        )
        return {name: " ".join(sql.split()) for name, sql in rows}


def engine_of(file: Path) -> Engine:
    return writing_engine(ledger_url(f"sqlite:///{file}"))


def test_a_ledger_that_was_upgraded_has_the_same_objects_as_a_new_one(tmp_path: Path) -> None:
    new, old = engine_of(tmp_path / "new.db"), engine_of(tmp_path / "old.db")
    migrate(new)
    with old.begin() as connection:
        upgrade(connection)
    with old.connect() as connection:
        assert version_of(connection) == HEAD
    assert not migrate(old)
    new.dispose()
    old.dispose()
    assert made_of(tmp_path / "old.db").keys() == made_of(tmp_path / "new.db").keys()
    triggers = [name for name, sql in made_of(tmp_path / "new.db").items() if sql.startswith("CREATE TRIGGER")]
    assert triggers
    for name in triggers:
        assert made_of(tmp_path / "old.db")[name] == made_of(tmp_path / "new.db")[name]
