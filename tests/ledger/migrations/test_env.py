import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from gateway.ledger.engine import ledger_url, prepare
from gateway.ledger.schema import metadata

_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' AND sql IS NOT NULL"


def schema_of(file: Path) -> dict[tuple[str, str], list[str]]:
    """Every table, index and trigger with the lines of its definition, whose order says nothing."""
    with sqlite3.connect(file) as connection:
        found = {(kind, name): sorted(_lines(sql)) for kind, name, sql in connection.execute(_OBJECTS)}
    connection.close()
    return found


def _lines(sql: str) -> list[str]:
    return [line.strip().rstrip(",") for line in sql.splitlines()]


def test_the_migrations_make_the_schema_the_code_expects(tmp_path: Path) -> None:
    prepare(ledger_url(f"sqlite:///{tmp_path / 'migrated.db'}"))
    engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert schema_of(tmp_path / "migrated.db") == schema_of(tmp_path / "fresh.db")


def test_alembic_sees_nothing_left_to_migrate(tmp_path: Path) -> None:
    prepare(ledger_url(f"sqlite:///{tmp_path / 'migrated.db'}"))
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
