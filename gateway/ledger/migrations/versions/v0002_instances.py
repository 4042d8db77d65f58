"""Several gateways on one ledger: who is there, and who works on which create."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Only adds: a gateway that knows 0001 alone goes on working, and leaves the new column empty."""
    op.create_table(
        "instances",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
    )
    op.add_column("reservations", sa.Column("instance", sa.Text(), nullable=True))
