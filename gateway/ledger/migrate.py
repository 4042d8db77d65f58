"""The schema's history: what version a database has, and how it gets this code's.

A new database is made at once from the tables as they are. Only an older one needs Alembic and its migrations, which
cost a tenth of a second and ten megabytes to load; tests hold the two ways to one result.
"""

import importlib

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select

from gateway.ledger.schema import metadata

KNOWN = ("0001", "0002", "0003", "0004", "0005", "0006")
"""The schema versions this code can bring up to date, oldest first."""

HEAD = KNOWN[-1]
"""The one it reads and writes."""

SUCCESSOR = f"{int(HEAD) + 1:04}"
"""The one after it. Migrations only add, so that during an upgrade the old gateways go on beside the first new one."""

_version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
"""Where Alembic writes down which migration was the last."""


class UnknownSchema(Exception):  # noqa: N818 - a fact about the file, not about the call
    """The file holds a schema this code does not know. The text goes on a sentence that begins with the file's name."""


def migrate(engine: Engine) -> bool:
    """Bring the schema up to `HEAD`; whether there was anything to do. Raises UnknownSchema.

    One transaction under the write lock: of two gateways that start at once, the second finds it done.
    """
    with engine.begin() as connection:
        found = version_of(connection)
        if found in (HEAD, SUCCESSOR):
            return False
        if found is None:
            _create(connection)
        elif found in KNOWN:
            importlib.import_module("gateway.ledger.upgrade").upgrade(connection)
        else:
            raise UnknownSchema(f"has schema {found}, which is newer than this gateway's {HEAD}: upgrade the gateway")
    return True


def _create(connection: Connection) -> None:
    if inspect(connection).get_table_names():
        raise UnknownSchema("is a database of something else, not a ledger")
    metadata.create_all(connection)
    _version.create(connection)
    connection.execute(_version.insert().values(version_num=HEAD))


def version_of(connection: Connection) -> str | None:
    """The schema version the database says it has; None for one that was never migrated."""
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()
