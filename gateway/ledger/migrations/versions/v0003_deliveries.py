"""What is told to teams' receivers, and the database making it due when a job ends."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_DUE = sa.text("standing = 'due'")
_STEPS = (
    "DELETE FROM deliveries WHERE reservation_id = NEW.id AND NEW.state = 'released'; "
    "UPDATE deliveries SET standing = 'due', due_at = NEW.updated_at, next_attempt_at = NEW.updated_at "
    "WHERE reservation_id = NEW.id AND standing = 'waiting';"
)
_ENDED = "NEW.state IN ('settled', 'released') AND OLD.state <> NEW.state"
_TRIGGER = "CREATE TRIGGER reservations_delivery AFTER UPDATE OF state ON reservations"


def upgrade() -> None:
    """Only adds: the job that a gateway of 0002 settles is told of all the same, because a trigger makes it due."""
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("next_attempt_at", sa.Double(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "standing IN ('waiting', 'due', 'delivered', 'failed')", name=op.f("ck_deliveries_standing")
        ),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["reservations.id"], name=op.f("fk_deliveries_reservation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("event", name=op.f("uq_deliveries_event")),
        sa.UniqueConstraint("reservation_id", name=op.f("uq_deliveries_reservation_id")),
    )
    op.create_index("deliveries_by_time", "deliveries", ["created_at"], unique=False)
    op.create_index("deliveries_by_end", "deliveries", ["ended_at"], unique=False)
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=_DUE,
        postgresql_where=_DUE,
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"{_TRIGGER} WHEN {_ENDED} BEGIN {_STEPS} END")
    else:
        function = f"LANGUAGE plpgsql AS $$ BEGIN {_STEPS} RETURN NULL; END $$"
        op.execute(f"CREATE FUNCTION reservations_delivery() RETURNS trigger {function}")
        op.execute(f"{_TRIGGER} FOR EACH ROW WHEN ({_ENDED}) EXECUTE FUNCTION reservations_delivery()")
