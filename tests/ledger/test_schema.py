import sqlite3
from collections.abc import Iterator
from itertools import product

import pytest
from sqlalchemy import create_engine

from gateway.core.lifecycle import TRANSITIONS, State
from gateway.ledger.schema import metadata


@pytest.fixture
def fresh() -> Iterator[sqlite3.Connection]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    driver = engine.raw_connection().driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA foreign_keys = ON")
    yield driver
    engine.dispose()


def insert_reservation(connection: sqlite3.Connection, name: str, state: State = State.RESERVED) -> None:
    outcome = "success" if state is State.SETTLED else None
    connection.execute(
        "INSERT INTO reservations VALUES (?, 'red', 'web', 'Veo3', 'default', ?, 0, ?, 0, 0, 0, x'', x'', 1, 1)",
        (name, state, outcome),
    )


@pytest.mark.parametrize(("source", "target"), list(product(State, State)))
def test_the_database_allows_exactly_the_transitions_of_the_table(
    fresh: sqlite3.Connection, source: State, target: State
) -> None:
    insert_reservation(fresh, "a", source)
    outcome = "success" if target is State.SETTLED else None
    change = "UPDATE reservations SET state = ?, outcome = ?"
    if target in TRANSITIONS[source]:
        fresh.execute(change, (target, outcome))
    else:
        with pytest.raises(sqlite3.IntegrityError, match="no such transition"):
            fresh.execute(change, (target, outcome))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO counters VALUES ('c', -1, NULL, 0, NULL)",
        "INSERT INTO claims VALUES ('a', 'nobody', 1, 'keep')",
        "INSERT INTO claims VALUES ('nobody', 'c', 1, 'keep')",
        "INSERT INTO claims VALUES ('a', 'c', 0, 'keep')",
        "INSERT INTO claims VALUES ('a', 'c', 1, 'lose')",
        "INSERT INTO jobs VALUES ('new', 'nobody', 'red', 'Veo3', 1, 'queued', 1, 1, 1, NULL, NULL)",
        "INSERT INTO jobs VALUES ('new', 'a', 'red', 'Veo3', 1, 'queued', 1, 1, 1, NULL, NULL)",
        "INSERT INTO jobs VALUES ('taken', 'b', 'red', 'Veo3', 1, 'queued', 1, 1, 1, NULL, NULL)",
        "UPDATE reservations SET state = 'lost' WHERE id = 'b'",
        "UPDATE reservations SET outcome = 'success' WHERE id = 'b'",
        "UPDATE reservations SET price = -1 WHERE id = 'b'",
        "DELETE FROM reservations WHERE id = 'a'",
    ],
)
def test_the_database_refuses_what_must_never_be(fresh: sqlite3.Connection, statement: str) -> None:
    fresh.execute("INSERT INTO counters VALUES ('c', 1, NULL, 0, NULL)")
    insert_reservation(fresh, "a")
    insert_reservation(fresh, "b")
    fresh.execute("INSERT INTO jobs VALUES ('taken', 'a', 'red', 'Veo3', 1, 'queued', 1, 1, 1, NULL, NULL)")
    with pytest.raises(sqlite3.IntegrityError):
        fresh.execute(statement)


def test_every_column_says_what_it_means() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert [column.name for column in columns if not (column.comment or "").endswith(".")] == []
