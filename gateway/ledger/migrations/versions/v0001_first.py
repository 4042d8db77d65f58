"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty file."""
    _create_counters()
    _create_reservations()
    _create_snapshots()
    _create_claims()
    _create_idempotency()
    _create_jobs()
    _create_refusals()
    for statement in _TRANSITION_GUARDS[op.get_context().dialect.name]:
        op.execute(statement)


_ALLOWED = (
    "(OLD.state = 'reserved' AND NEW.state IN ('released', 'sent')) OR (OLD.state = 'sent' AND "
    "NEW.state IN ('placed', 'released', 'unknown')) OR (OLD.state = 'unknown' AND NEW.state IN "
    "('placed', 'released')) OR (OLD.state = 'placed' AND NEW.state IN ('settled'))"
)
_TRIGGER = "CREATE TRIGGER reservations_transition BEFORE UPDATE OF state ON reservations"
_REFUSE = (
    "CREATE FUNCTION reservations_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'no such transition' USING ERRCODE = 'check_violation'; END $$"
)
_TRANSITION_GUARDS = {
    "sqlite": (f"{_TRIGGER} WHEN NOT ({_ALLOWED}) BEGIN SELECT RAISE(ABORT, 'no such transition'); END",),
    "postgresql": (
        _REFUSE,
        f"{_TRIGGER} FOR EACH ROW WHEN (NOT ({_ALLOWED})) EXECUTE FUNCTION reservations_transition()",
    ),
}


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _create_counters() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("window_ends", sa.Double(), nullable=True),
        sa.Column("direct", sa.Boolean(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("value >= 0", name=op.f("ck_counters_value")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
        sqlite_with_rowid=False,
    )
    op.create_index("counters_by_end", "counters", ["window_ends"], unique=False)


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("charge_failed", sa.Boolean(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("payload_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.CheckConstraint("(outcome IS NOT NULL) = (state = 'settled')", name=op.f("ck_reservations_settled")),
        sa.CheckConstraint(
            "outcome IN ('success', 'failed', 'cancelled', 'expired')", name=op.f("ck_reservations_outcome")
        ),
        sa.CheckConstraint(
            "state IN ('reserved', 'sent', 'unknown', 'placed', 'settled', 'released')",
            name=op.f("ck_reservations_state"),
        ),
        sa.CheckConstraint("price >= 0 AND seconds >= 0", name=op.f("ck_reservations_amounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    op.create_index("reservations_by_team", "reservations", ["team", "created_at"], unique=False)
    op.create_index("reservations_by_time", "reservations", ["created_at"], unique=False)
    op.create_index(
        "reservations_without_job",
        "reservations",
        ["state", "updated_at"],
        unique=False,
        **_where("state NOT IN ('placed', 'settled')"),
    )


def _create_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("fetched_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_snapshots")),
    )


def _create_claims() -> None:
    op.create_table(
        "claims",
        sa.Column("reservation_id", sa.Text(), nullable=False),
        sa.Column("counter", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("on_settle", sa.Text(), nullable=False),
        sa.CheckConstraint("on_settle IN ('keep', 'return', 'adjust')", name=op.f("ck_claims_on_settle")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_claims_amount")),
        sa.ForeignKeyConstraint(["counter"], ["counters.name"], name=op.f("fk_claims_counter"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["reservations.id"], name=op.f("fk_claims_reservation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("reservation_id", "counter", name=op.f("pk_claims")),
        sqlite_with_rowid=False,
    )
    op.create_index("claims_by_counter", "claims", ["counter"], unique=False)


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("headers", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["reservation_id"],
            ["reservations.id"],
            name=op.f("fk_idempotency_reservation_id"),
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("team", "key", name=op.f("pk_idempotency")),
        sa.UniqueConstraint("reservation_id", name=op.f("uq_idempotency_reservation_id")),
    )
    op.create_index("idempotency_by_time", "idempotency", ["created_at"], unique=False)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("looked_at", sa.Double(), nullable=False),
        sa.Column("next_look_at", sa.Double(), nullable=False),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.Column("record", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservations.id"], name=op.f("fk_jobs_reservation_id")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("reservation_id", name=op.f("uq_jobs_reservation_id")),
    )
    op.create_index(
        "jobs_by_model",
        "jobs",
        ["team", "model", "created_at", "request_id"],
        unique=False,
        **_where("record IS NOT NULL"),
    )
    op.create_index(
        "jobs_by_team",
        "jobs",
        ["team", "created_at", "request_id"],
        unique=False,
        **_where("record IS NOT NULL"),
    )
    op.create_index("jobs_by_time", "jobs", ["created_at", "request_id"], unique=False, **_where("record IS NOT NULL"))
    op.create_index("jobs_open", "jobs", ["next_look_at"], unique=False, **_where("settled_at IS NULL"))


def _create_refusals() -> None:
    op.create_table(
        "refusals",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("starts", sa.Double(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "starts", "key", "model", "code", name=op.f("pk_refusals")),
        sqlite_with_rowid=False,
    )
    op.create_index("refusals_by_time", "refusals", ["starts"], unique=False)
