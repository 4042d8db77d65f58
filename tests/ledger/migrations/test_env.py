import re
import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.schema import metadata
from tests.ledger.samples import run_sql
from tests.postgres import Server

_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' AND sql IS NOT NULL"


def schema_of(file: Path) -> dict[tuple[str, str], list[str]]:
    """Every table, index and trigger with the lines of its definition, whose order says nothing."""
    with sqlite3.connect(file) as connection:
        found = {(kind, name): sorted(_lines(sql)) for kind, name, sql in connection.execute(_OBJECTS)}
    connection.close()
    return found


def _lines(sql: str) -> list[str]:
    """One line for each column and constraint; SQLite writes a column that was added into another one's line."""
    lines = re.split(r"\n|, (?=[a-z_]+ [A-Z])", sql)
    return [line.strip(" \t,") for line in lines if line.strip(" \t,")]


def prepare(text: str) -> None:
    url = ledger_url(text)
    backend_of(url).prepare(url)


def test_the_migrations_make_the_schema_the_code_expects(tmp_path: Path) -> None:
    prepare(f"sqlite:///{tmp_path / 'migrated.db'}")
    engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert schema_of(tmp_path / "migrated.db") == schema_of(tmp_path / "fresh.db")


_CATALOGUE = """
SELECT table_name || '.' || column_name, data_type || ' ' || is_nullable FROM information_schema.columns
WHERE table_schema = 'public' AND table_name <> 'alembic_version'
UNION ALL SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid <> 'alembic_version'::regclass
UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def test_the_migrations_make_the_schema_the_code_expects_on_a_server(postgres: Server) -> None:
    fresh = postgres.empty_database()
    engine = create_engine(fresh)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        metadata.create_all(connection)
    engine.dispose()
    assert set(run_sql(postgres.ledger_database(), _CATALOGUE)) == set(run_sql(fresh, _CATALOGUE))


def test_alembic_sees_nothing_left_to_migrate(url: str) -> None:
    prepare(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    columns = [change for several in found if isinstance(several, list) for change in several]
    assert {change[0] for change in columns} <= {"modify_comment"}, "what columns mean is told in the code alone"
    assert [change for change in found if not isinstance(change, list)] == []
    engine.dispose()
