"""Statements written in SQLAlchemy Core, compiled once for each database, and handed to the driver as they are.

SQLAlchemy's layer costs four times what SQLite itself needs for a guarded upsert, and a create runs twenty statements
on the one thread that writes. Reads, which are rare and many-shaped, go through SQLAlchemy as usual.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import BigInteger, BindParameter, Boolean, Connection, Double, LargeBinary, Text, bindparam
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Row = tuple[Any, ...]
Compiled = tuple[str, Callable[[Mapping[str, Any]], Row], Mapping[str, Any]]
"""SQL in a driver's dialect, what puts named values in its parameters' order, and those values that never change."""


def text(name: str) -> BindParameter[str]:
    """A named parameter of a statement, given when it runs."""
    return bindparam(name, type_=Text)


def integer(name: str) -> BindParameter[int]:
    """The same for counts and micro-USD."""
    return bindparam(name, type_=BigInteger)


def instant(name: str) -> BindParameter[float]:
    """The same for unix seconds."""
    return bindparam(name, type_=Double)


def switch(name: str) -> BindParameter[bool]:
    """The same for yes or no."""
    return bindparam(name, type_=Boolean)


def blob(name: str) -> BindParameter[bytes]:
    """The same for bytes."""
    return bindparam(name, type_=Bytes)


class Bytes(LargeBinary):
    """Bytes that say so when they are NULL, because PostgreSQL has to know the type of every parameter."""

    render_bind_cast = True


class Statement:
    """One statement. Its parameters are given by name; one that is missing is a KeyError, never a NULL."""

    def __init__(self, construct: ClauseElement) -> None:
        self._construct = construct
        self._compiled: dict[str, Compiled] = {}

    def changes(self, connection: Connection, **values: Any) -> int:
        """Run it; how many rows it changed."""
        return self._execute(connection, values).rowcount

    def row(self, connection: Connection, **values: Any) -> Row | None:
        """Run it; the row it gives, if any."""
        rows = self.rows(connection, **values)
        return rows[0] if rows else None

    def rows(self, connection: Connection, **values: Any) -> list[Row]:
        """Run it; every row it gives, all fetched: a half-read statement would keep its transaction from ending."""
        return cast("list[Row]", self._execute(connection, values).fetchall())

    def run_many(self, connection: Connection, many: Iterable[Mapping[str, Any]]) -> int:
        """Run it once for each set of values; how many rows it changed in all."""
        sql, in_order, constants = self._compile(connection)
        parameters = [in_order({**constants, **values} if constants else values) for values in many]
        if not parameters:
            return 0
        cursor = driver_of(connection).cursor()
        cursor.executemany(sql, parameters)
        return cursor.rowcount

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> DBAPICursor:
        sql, in_order, constants = self._compile(connection)
        cursor = driver_of(connection).cursor()
        cursor.execute(sql, in_order({**constants, **values} if constants else values))
        return cursor

    def _compile(self, connection: Connection) -> Compiled:
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            compiled = self._construct.compile(dialect=connection.dialect)
            assert isinstance(compiled, SQLCompiler)
            constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
            found = str(compiled), _in_order(tuple(compiled.positiontup or ())), constants
            self._compiled[connection.dialect.name] = found
        return found


def _in_order(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Row]:
    """What takes the values of these names, in this order. One that is missing is a KeyError."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


def driver_of(connection: Connection) -> DBAPIConnection:
    """The driver's own connection, for what is run too often to go through SQLAlchemy."""
    driver = connection.connection.dbapi_connection
    assert driver is not None
    return driver
