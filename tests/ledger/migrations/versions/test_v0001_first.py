import sqlite3
from pathlib import Path

from alembic.script import ScriptDirectory

import gateway.ledger.migrations
from gateway.ledger.engine import ledger_url
from gateway.ledger.migrate import KNOWN
from gateway.ledger.sqlite import prepare


def test_it_makes_every_table(tmp_path: Path) -> None:
    prepare(ledger_url(f"sqlite:///{tmp_path / 'gateway.db'}"))
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert tables == {
        *(
            "alembic_version",
            "claims",
            "counters",
            "deliveries",
            "idempotency",
            "instances",
            "jobs",
            "refusals",
            "reservations",
            "snapshots",
            "upload_slots",
        ),
    }


def test_the_versions_on_disk_are_those_the_code_knows() -> None:
    scripts = ScriptDirectory(str(Path(gateway.ledger.migrations.__file__).parent))
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == KNOWN
