import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from gateway.ledger.engine import ledger_url
from gateway.ledger.migrate import HEAD, KNOWN, UnknownSchema, migrate, version_of
from gateway.ledger.sqlite import writing_engine


@pytest.fixture
def engine(file: Path) -> Engine:
    return writing_engine(ledger_url(f"sqlite:///{file}"), timeout=20)


def test_an_empty_file_becomes_a_ledger_once(engine: Engine) -> None:
    assert migrate(engine)
    assert not migrate(engine)
    with engine.connect() as connection:
        assert version_of(connection) == HEAD == KNOWN[-1]
    engine.dispose()


def test_of_those_that_start_at_once_one_migrates(engine: Engine, file: Path) -> None:
    engine.dispose()
    results: list[bool] = []

    def start() -> None:
        engine = writing_engine(ledger_url(f"sqlite:///{file}"), timeout=20)
        results.append(migrate(engine))
        engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_a_newer_ledger_is_refused(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnknownSchema, match="has schema 9999, which is newer than this gateway's 0006: upgrade"):
        migrate(engine)
    engine.dispose()


def test_a_database_of_something_else_is_refused(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (id INTEGER)")
    with pytest.raises(UnknownSchema, match="is a database of something else, not a ledger"):
        migrate(engine)
    engine.dispose()
