"""Which jobs ended lately, to be found without reading all: gateways that share the ledger learn of them there."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Only adds: a gateway that knows 0005 alone goes on working."""
    where = sa.text("settled_at IS NOT NULL")
    op.create_index("jobs_ended", "jobs", ["settled_at"], unique=False, sqlite_where=where, postgresql_where=where)
