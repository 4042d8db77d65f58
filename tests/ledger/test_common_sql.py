"""What becomes of a row that is there already, and which rows an index is over, on each database."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    Table,
    Text,
    create_engine,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import IntegrityError

from gateway.ledger.common_sql import OnConflict, is_among, only_where
from gateway.ledger.statement import integer, text

# One column has a name that is a word of SQL's, and has to be quoted.
rows = Table("rows", MetaData(), Column("name", Text, primary_key=True), Column("order", BigInteger))
Index("rows_large", rows.c.order, unique=True, **only_where(rows.c.order >= 100))

NEW = insert(rows).values(name=text("name"), order=integer("by"))
RAISED = {"order": rows.c.order + integer("by")}


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        rows.metadata.create_all(connection)
        connection.execute(NEW, [{"name": "a", "by": 1}])
        yield connection
    engine.dispose()


def told(connection: Connection) -> list[Any]:
    return [tuple(row) for row in connection.execute(select(rows).order_by(rows.c.name))]


@pytest.mark.parametrize("conflict", [OnConflict(), OnConflict("name")])
def test_a_row_that_is_there_stays_as_it_is(connection: Connection, conflict: OnConflict) -> None:
    connection.execute(NEW.ext(conflict), [{"name": "a", "by": 5}, {"name": "b", "by": 5}])
    assert told(connection) == [("a", 1), ("b", 5)]


def test_a_row_that_is_there_is_changed_by_what_it_was(connection: Connection) -> None:
    raising = NEW.ext(OnConflict("name", set=RAISED))
    connection.execute(raising, [{"name": "a", "by": 5}, {"name": "b", "by": 5}])
    assert told(connection) == [("a", 6), ("b", 5)]


def test_a_row_that_is_not_what_was_asked_for_stays(connection: Connection) -> None:
    bounded = NEW.ext(OnConflict("name", set=RAISED, where=rows.c.order < integer("most"))).returning(rows.c.order)
    assert connection.execute(bounded, {"name": "a", "by": 5, "most": 2}).scalars().all() == [6]
    assert connection.execute(bounded, {"name": "a", "by": 5, "most": 2}).scalars().all() == []
    assert told(connection) == [("a", 6)]


def test_an_index_is_over_some_rows_alone(connection: Connection) -> None:
    assert [index["name"] for index in inspect(connection).get_indexes("rows")] == ["rows_large"]
    connection.execute(NEW, [{"name": "b", "by": 1}, {"name": "c", "by": 100}])
    with pytest.raises(IntegrityError):
        connection.execute(NEW, {"name": "d", "by": 100})


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], []),
        (["a"], ["a"]),
        (["b", "é\"'\\", "c d"], ["b", "é\"'\\"]),
        ([*map(str, range(100_000)), "a"], ["a"]),
    ],
    ids=["none", "one", "odd", "many"],
)
def test_a_row_is_looked_for_by_any_number_of_texts(connection: Connection, names: list[str], found: list[str]) -> None:
    connection.execute(NEW, [{"name": name, "by": by} for by, name in enumerate(("b", "é\"'\\", "c"), 2)])
    rows_found = connection.scalars(select(rows.c.name).where(is_among(rows.c.name, names)).order_by(rows.c.order))
    assert list(rows_found) == found
