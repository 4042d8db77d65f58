from collections.abc import Iterator

import pytest
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, create_engine, insert, select, update

from gateway.ledger.statement import Statement, driver_of, integer, text

letters = Table("letters", MetaData(), Column("name", Text, primary_key=True), Column("count", BigInteger))
ADD = Statement(insert(letters))
RAISE = Statement(update(letters).values(count=letters.c.count + integer("by")).where(letters.c.name == text("name")))
SMALL = Statement(select(letters.c.name, letters.c.count).where(letters.c.count < 3).order_by(letters.c.name))


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        letters.metadata.create_all(connection)
        ADD.run_many(connection, [{"name": "a", "count": 1}, {"name": "b", "count": 2}, {"name": "c", "count": 3}])
        yield connection


def test_rows_come_as_the_driver_gives_them(connection: Connection) -> None:
    assert SMALL.rows(connection) == [("a", 1), ("b", 2)]
    assert SMALL.row(connection) == ("a", 1)


def test_no_row_is_none(connection: Connection) -> None:
    RAISE.changes(connection, name="a", by=9)
    RAISE.changes(connection, name="b", by=9)
    assert SMALL.row(connection) is None
    assert SMALL.rows(connection) == []


def test_changes_are_counted(connection: Connection) -> None:
    assert RAISE.changes(connection, name="a", by=1) == 1
    assert RAISE.changes(connection, name="z", by=1) == 0


def test_a_missing_value_is_a_mistake_not_a_null(connection: Connection) -> None:
    with pytest.raises(KeyError, match="by"):
        RAISE.changes(connection, name="a")


def test_it_runs_in_the_connections_own_transaction(connection: Connection) -> None:
    connection.commit()
    RAISE.changes(connection, name="a", by=9)
    assert driver_of(connection) is connection.connection.dbapi_connection
    connection.rollback()
    driver_of(connection).rollback()
    assert SMALL.row(connection) == ("a", 1)
