"""One statement over many rows. A statement to each row would cost the driver more than it costs the database.

And not only time: at every row the driver lets go of the interpreter, and a busy loop takes as long as it likes to give
it back.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import CTE, BindParameter, Connection, Table, bindparam, column, values
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from gateway.ledger.statement import Row, driver_of

SIZES = (64, 32, 16, 8, 4, 2, 1)
"""Rows at a time. A statement is compiled and kept for each, so there are few."""

Parameters = Mapping[str, BindParameter[Any]]
Types = Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]]


def types_of(table: Table) -> Types:
    """A table's columns, for a statement whose rows are the table's."""
    return {each.name: each.type for each in table.columns}


def given(rows: Sequence[Parameters]) -> CTE:
    """The rows as a table that a statement can join."""
    columns = [column(name, parameter.type) for name, parameter in rows[0].items()]
    return values(*columns, name="given").data([tuple(row.values()) for row in rows]).cte("given")


class RowsStatement:
    """A statement made anew by `build` for so many rows' parameters. A row is a tuple in the order of `columns`.

    What it changes is counted by the rows it returns, if it returns any: SQLite's driver counts none that begin WITH.
    """

    def __init__(self, columns: Types, build: Callable[[Sequence[Parameters]], ClauseElement]) -> None:
        self._columns = columns
        self._build = build
        self._compiled: dict[tuple[str, int], tuple[str, Callable[[Row], Row], Row]] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Run it over the rows, in their order; how many rows it changed in all."""
        changed = done = 0
        cursor = driver_of(connection).cursor()
        for size in SIZES:
            while len(rows) - done >= size:
                sql, in_order, constants = self._compile(connection, size)
                cursor.execute(sql, in_order((*chain.from_iterable(rows[done : done + size]), *constants)))
                changed += cursor.rowcount if cursor.description is None else len(cursor.fetchall())
                done += size
        return changed

    def _compile(self, connection: Connection, size: int) -> tuple[str, Callable[[Row], Row], Row]:
        found = self._compiled.get((connection.dialect.name, size))
        if found is None:
            rows = [
                {name: bindparam(f"{name}_{number}", type_=kind) for name, kind in self._columns.items()}
                for number in range(size)
            ]
            compiled = self._build(rows).compile(dialect=connection.dialect)
            assert isinstance(compiled, SQLCompiler)
            names = [bind.key for row in rows for bind in row.values()]
            constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
            places = {name: place for place, name in enumerate((*names, *constants))}
            in_order = itemgetter(*[places[name] for name in compiled.positiontup or ()])
            found = str(compiled), cast("Callable[[Row], Row]", in_order), tuple(constants.values())
            self._compiled[connection.dialect.name, size] = found
        return found
