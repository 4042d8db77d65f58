from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import BigInteger, Connection, Text, create_engine, insert, select, update
from sqlalchemy.sql.elements import ClauseElement

from gateway.ledger.engine import ledger_url
from gateway.ledger.rows import SIZES, Parameters, RowsStatement, given, types_of
from gateway.ledger.schema import counters

INSERT = RowsStatement(types_of(counters), lambda rows: insert(counters).values(rows))


def copy(rows: Sequence[Parameters]) -> ClauseElement:
    pairs = given(rows)
    copied = select(pairs.c.target, counters.c.value, counters.c.direct).join_from(
        pairs, counters, counters.c.name == pairs.c.source
    )
    return insert(counters).from_select(["name", "value", "direct"], copied).returning(counters.c.name)


def add(rows: Sequence[Parameters]) -> ClauseElement:
    steps = given(rows)
    return (
        update(counters).values(value=counters.c.value + steps.c.by, granted=7).where(counters.c.name == steps.c.name)
    )


COPY = RowsStatement({"source": Text, "target": Text}, copy)
ADD = RowsStatement({"by": BigInteger, "name": Text}, add)


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    parsed = ledger_url(url)
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg", query=parsed.query) if "postgresql" in url else parsed,
        **({"paramstyle": "format"} if "postgresql" in url else {}),
    )
    with engine.connect() as connection:
        if "sqlite" in url:
            counters.create(connection)
        yield connection
    engine.dispose()


def values(connection: Connection) -> dict[str, int]:
    return {row.name: row.value for row in connection.execute(select(counters.c.name, counters.c.value))}


@pytest.mark.parametrize("count", [0, 1, 3, 64, 130])
def test_any_number_of_rows_is_written_and_counted(connection: Connection, count: int) -> None:
    rows = [(f"c{number}", number, None if number % 2 else 1.5, False, None) for number in range(count)]
    assert INSERT.run(connection, rows) == count
    assert values(connection) == {f"c{number}": number for number in range(count)}
    assert len(INSERT._compiled) <= len(SIZES) * 2


def test_rows_can_be_joined_and_those_that_match_nothing_do_not_count(connection: Connection) -> None:
    INSERT.run(connection, [("a", 1, None, False, None), ("b", 2, None, False, None)])
    assert COPY.run(connection, [("a", "x"), ("nobody", "y"), ("b", "z")]) == 2
    assert values(connection) == {"a": 1, "b": 2, "x": 1, "z": 2}


def test_each_row_changes_its_own(connection: Connection) -> None:
    INSERT.run(connection, [("a", 1, None, False, None), ("b", 2, None, False, None)])
    ADD.run(connection, [(10, "a"), (20, "b"), (30, "nobody")])
    assert values(connection) == {"a": 11, "b": 22}
