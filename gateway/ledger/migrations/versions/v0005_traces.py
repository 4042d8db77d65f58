"""Which trace a create belongs to, so that the end of its job can be told there, by whichever gateway sees it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Only adds: a gateway that knows 0004 alone goes on working, and leaves the new column empty."""
    op.add_column("reservations", sa.Column("trace", sa.Text(), nullable=True))
