"""The uploads that may come through the gateway."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Only adds."""
    op.create_table(
        "upload_slots",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_upload_slots")),
    )
    op.create_index("upload_slots_by_end", "upload_slots", ["expires_at"], unique=False)
