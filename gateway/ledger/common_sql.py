"""SQL for SQLite and PostgreSQL alike: `INSERT … ON CONFLICT`, an index over some rows alone, and a long list of texts.

SQLAlchemy has the first two once for each of them, beside all else that it knows of that database: to import
PostgreSQL's takes two megabytes, and a gateway on SQLite has no use for the rest.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Insert, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql import SyntaxExtension
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.functions import FunctionElement


class OnConflict(SyntaxExtension, ClauseElement):
    """What becomes of a row that is there already: these columns are `set`, if `where` holds of it.

    It is there if another has its values in the columns of `target`, or, without one, any that must be unique. Without
    `set` it stays as it is. Used as `insert(…).ext(OnConflict(…))`.
    """

    inherit_cache = False

    def __init__(
        self,
        *target: str,
        set: Mapping[str, ColumnElement[Any]] | None = None,  # noqa: A002 - SQL's word
        where: ColumnElement[bool] | None = None,
    ) -> None:
        self.target: Sequence[str] = target
        self.set = set or {}
        self.where = where

    def apply_to_insert(self, insert_stmt: Insert) -> None:
        """Where it stands: behind the values."""
        insert_stmt.apply_syntax_extension_point(self.append_replacing_same_type, "post_values")


@compiles(OnConflict)
def _write_conflict(clause: OnConflict, compiler: SQLCompiler, **options: Any) -> str:
    quote, options = compiler.preparer.quote, {**options, "include_table": True, "use_schema": False}
    target = f" ({', '.join(map(quote, clause.target))})" if clause.target else ""
    if not clause.set:
        return f"ON CONFLICT{target} DO NOTHING"
    values = [f"{quote(name)} = {compiler.process(value, **options)}" for name, value in clause.set.items()]
    where = "" if clause.where is None else f" WHERE {compiler.process(clause.where, **options)}"
    return f"ON CONFLICT{target} DO UPDATE SET {', '.join(values)}{where}"


def only_where(condition: ClauseElement) -> dict[str, Any]:
    """Arguments of an `Index` over these rows alone."""
    return {"info": {"where": condition}}


@compiles(CreateIndex)
def _write_index(create: CreateIndex, compiler: DDLCompiler, **options: Any) -> str:
    written: str = compiler.visit_create_index(create, **options)  # type: ignore[no-untyped-call]  # the library's
    where = create.element.info.get("where")
    if where is None:
        return written
    return f"{written} WHERE {compiler.sql_compiler.process(where, include_table=False, literal_binds=True)}"


class _Listed(FunctionElement[str]):
    inherit_cache = True


@compiles(_Listed, "sqlite")
def _list_on_sqlite(listed: _Listed, compiler: SQLCompiler, **options: Any) -> str:
    value = compiler.process(listed.clauses, **options)
    return f"(SELECT value FROM json_each({value}))"  # noqa: S608 - it is a parameter's place


@compiles(_Listed, "postgresql")
def _list_on_postgresql(listed: _Listed, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT json_array_elements_text(CAST({compiler.process(listed.clauses, **options)} AS json)))"


def is_among(column: ColumnElement[str], texts: Sequence[str]) -> ColumnElement[bool]:
    """Whether the column is one of these, however many: one parameter, where `in_` has one for each."""
    return column.op("IN", is_comparison=True)(_Listed(literal(json.dumps(texts))))
