import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, InternalError

from gateway.ledger import postgresql
from gateway.ledger.engine import ledger_url
from gateway.ledger.faults import LedgerUnavailable, LedgerUnreachable
from gateway.ledger.migrate import HEAD
from gateway.ledger.postgresql import exists, instant, is_unreachable, prepare, reading_engine, state_of, writing_engine
from tests.ledger.samples import run_sql
from tests.postgres import Server

NOWHERE = "postgresql://gateway:canary@127.0.0.1:1/ledger"


def test_an_empty_database_becomes_a_ledger_once(postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    url = postgres.empty_database()
    assert not exists(ledger_url(url))
    with caplog.at_level(logging.INFO, "gateway"):
        prepare(ledger_url(url))
        prepare(ledger_url(url))
    assert [record.getMessage() for record in caplog.records].count("ledger migrated") == 1
    assert exists(ledger_url(url))
    assert run_sql(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_of_gateways_that_start_together_one_migrates_and_all_find_it_fit(postgres: Server) -> None:
    url = ledger_url(postgres.empty_database())
    with ThreadPoolExecutor(4) as threads:
        starts = [threads.submit(prepare, url) for _ in range(4)]
    assert [start.result() for start in starts] == [None] * 4


def test_a_database_of_something_else_or_of_a_later_gateway_is_refused(postgres: Server) -> None:
    foreign, later = postgres.empty_database(), postgres.ledger()
    run_sql(foreign, "CREATE TABLE invoices (id INTEGER)")
    run_sql(later, "UPDATE alembic_version SET version_num = '9999'")
    for url, reason in ((foreign, "a database of something else"), (later, "schema 9999, which is newer")):
        with pytest.raises(LedgerUnavailable, match=reason) as caught:
            prepare(ledger_url(url))
        assert not isinstance(caught.value, LedgerUnreachable)


def test_le5_a_server_that_is_not_there_is_told_from_one_that_refuses(postgres: Server) -> None:
    with pytest.raises(LedgerUnreachable, match=r"127\.0\.0\.1/ledger cannot be used as the ledger: ") as caught:
        prepare(ledger_url(NOWHERE))
    assert "canary" not in str(caught.value)
    with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1/ledger cannot be read: "):
        exists(ledger_url(NOWHERE))
    url = postgres.empty_database()
    run_sql(url, "CREATE ROLE powerless LOGIN")
    with pytest.raises(LedgerUnavailable, match="permission denied for schema public") as refused:
        prepare(ledger_url(url.replace("postgres:@", "powerless:@")))
    assert not isinstance(refused.value, LedgerUnreachable)


def test_le8_what_is_committed_is_on_the_disk_and_nothing_waits_for_long(postgres: Server) -> None:
    url = postgres.ledger_database()
    run_sql(url, f"ALTER DATABASE {ledger_url(url).database} SET synchronous_commit = off")
    for engine in (writing_engine(ledger_url(url)), reading_engine(ledger_url(url))):
        with engine.connect() as connection:
            settings = [
                connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                for name in (
                    *("synchronous_commit", "statement_timeout", "lock_timeout"),
                    "idle_in_transaction_session_timeout",
                )
            ]
        engine.dispose()
        assert settings == ["on", "2s", "1100ms", "5s"]


def test_a_stricter_server_is_left_as_strict(postgres: Server) -> None:
    url = postgres.ledger_database()
    run_sql(url, f"ALTER DATABASE {ledger_url(url).database} SET synchronous_commit = remote_apply")
    engine = writing_engine(ledger_url(url))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "remote_apply"
    engine.dispose()


def test_a_reading_connection_sees_one_instant_and_cannot_write(postgres: Server) -> None:
    url = postgres.ledger()
    engine = reading_engine(ledger_url(url))
    count = "SELECT count(*) FROM counters"
    with engine.begin() as connection:
        assert connection.exec_driver_sql(count).scalar_one() == 0
        run_sql(url, "INSERT INTO counters VALUES ('c', 1, NULL, false, NULL)")
        assert connection.exec_driver_sql(count).scalar_one() == 0
        with pytest.raises(InternalError, match="read-only transaction"):
            connection.exec_driver_sql("DELETE FROM counters")
    engine.dispose()


def test_le7_a_statement_that_takes_too_long_is_ended(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_BOUNDS", postgresql._BOUNDS.replace("2000", "50"))
    engine = writing_engine(ledger_url(postgres.ledger()))
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql("SELECT pg_sleep(5)")
    engine.dispose()
    assert state_of(caught.value) == "57014"
    assert not is_unreachable(caught.value)


def test_the_servers_clock_is_read_not_the_transactions(postgres: Server) -> None:
    engine = create_engine(postgres.url("postgres"))
    with engine.connect() as connection:
        first = instant(connection)
        connection.exec_driver_sql("SELECT pg_sleep(0.01)")
        assert 0.01 <= instant(connection) - first < 5
    engine.dispose()
