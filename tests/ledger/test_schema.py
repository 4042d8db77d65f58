from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import IntegrityError

from gateway.core.lifecycle import TRANSITIONS, State
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.schema import metadata

COLUMNS = {
    "counters": "name, value, direct",
    "claims": "reservation_id, counter, amount, on_settle",
    "jobs": "request_id, reservation_id, team, model, created_at, status, complete, looked_at, next_look_at",
}
"""The columns of the rows below; the others may be NULL."""


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    backend_of(ledger_url(url)).prepare(ledger_url(url))
    engine = create_engine(url)
    with engine.connect() as connection:
        if url.startswith("sqlite"):
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        yield connection
    engine.dispose()


def insert_reservation(connection: Connection, name: str, state: State = State.RESERVED) -> None:
    outcome = "'success'" if state is State.SETTLED else "NULL"
    connection.exec_driver_sql(
        f"INSERT INTO reservations VALUES ('{name}', 'red', 'web', 'Veo3', 'default', '{state}', false, {outcome},"
        " 0, 0, false, 'x', 'x', 1, 1, NULL, NULL)"
    )


@pytest.mark.parametrize("source", list(State))
def test_the_database_allows_exactly_the_transitions_of_the_table(connection: Connection, source: State) -> None:
    insert_reservation(connection, "a", source)
    allowed, refusals = set(), set()
    for target in State:
        outcome = "'success'" if target is State.SETTLED else "NULL"
        attempt = connection.begin_nested()
        try:
            connection.exec_driver_sql(f"UPDATE reservations SET state = '{target}', outcome = {outcome}")
        except IntegrityError as error:
            refusals.add("no such transition" in str(error))
        else:
            allowed.add(target)
        attempt.rollback()
    assert refusals == {True}
    assert allowed == TRANSITIONS[source]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO counters ({counters}) VALUES ('d', -1, false)",
        "INSERT INTO claims ({claims}) VALUES ('a', 'nobody', 1, 'keep')",
        "INSERT INTO claims ({claims}) VALUES ('nobody', 'c', 1, 'keep')",
        "INSERT INTO claims ({claims}) VALUES ('a', 'c', 0, 'keep')",
        "INSERT INTO claims ({claims}) VALUES ('a', 'c', 1, 'lose')",
        "INSERT INTO jobs ({jobs}) VALUES ('new', 'nobody', 'red', 'Veo3', 1, 'queued', true, 1, 1)",
        "INSERT INTO jobs ({jobs}) VALUES ('new', 'a', 'red', 'Veo3', 1, 'queued', true, 1, 1)",
        "INSERT INTO jobs ({jobs}) VALUES ('taken', 'b', 'red', 'Veo3', 1, 'queued', true, 1, 1)",
        "UPDATE reservations SET state = 'lost' WHERE id = 'b'",
        "UPDATE reservations SET outcome = 'success' WHERE id = 'b'",
        "UPDATE reservations SET price = -1 WHERE id = 'b'",
        "DELETE FROM reservations WHERE id = 'a'",
    ],
)
def test_the_database_refuses_what_must_never_be(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql("INSERT INTO counters VALUES ('c', 1, NULL, false, NULL)")
    insert_reservation(connection, "a")
    insert_reservation(connection, "b")
    taken = "INSERT INTO jobs ({jobs}) VALUES ('taken', 'a', 'red', 'Veo3', 1, 'queued', true, 1, 1)"
    connection.exec_driver_sql(taken.format(**COLUMNS))
    with pytest.raises(IntegrityError):
        connection.exec_driver_sql(statement.format(**COLUMNS))


def test_every_column_says_what_it_means() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert [column.name for column in columns if not (column.comment or "").endswith(".")] == []
