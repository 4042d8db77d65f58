from pathlib import Path

import pytest
from sqlalchemy import Engine

from gateway.ledger.engine import ledger_url
from gateway.ledger.faults import FAULTS, driver_error, unavailable
from gateway.ledger.postgresql import writing_engine as writing_to_a_server
from gateway.ledger.sqlite import writing_engine as writing_to_a_file
from tests.postgres import Server


def reason_of_a_broken_rule(engine: Engine) -> str:
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE keys (name TEXT PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO keys VALUES ('secret')")
        with pytest.raises(FAULTS) as caught:
            connection.exec_driver_sql("INSERT INTO keys VALUES ('secret')")
    engine.dispose()
    assert "secret" in str(caught.value)
    assert driver_error(caught.value) is driver_error(driver_error(caught.value))
    return str(unavailable(caught.value))


def test_the_reason_holds_no_value_of_a_file(file: Path) -> None:
    reason = reason_of_a_broken_rule(writing_to_a_file(ledger_url(f"sqlite:///{file}")))
    assert reason == "UNIQUE constraint failed: keys.name"


def test_the_reason_holds_no_value_of_a_server(postgres: Server) -> None:
    reason = reason_of_a_broken_rule(writing_to_a_server(ledger_url(postgres.empty_database())))
    assert reason == 'duplicate key value violates unique constraint "keys_pkey"'
