"""The schema's history: Alembic's migrations, run when a ledger is opened."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect

KNOWN = ("0001", "0002")
"""The schema versions this code can bring up to date, oldest first."""

HEAD = KNOWN[-1]
"""The one it reads and writes."""

SUCCESSOR = f"{int(HEAD) + 1:04}"
"""The one after it. Migrations only add, so that during an upgrade the old gateways go on beside the first new one."""


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
        if found is None and inspect(connection).get_table_names():
            raise UnknownSchema("is a database of something else, not a ledger")
        if found is not None and found not in KNOWN:
            raise UnknownSchema(f"has schema {found}, which is newer than this gateway's {HEAD}: upgrade the gateway")
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return True


def version_of(connection: Connection) -> str | None:
    """The schema version the database says it has; None for one that was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()
