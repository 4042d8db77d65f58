"""The ledger's tables. Times are unix seconds, money is micro-USD; a column's comment says what it means.

The migrations make these tables, and a test holds the two together. What must never happen is refused by the database
itself: a counter below zero, a job with two owners, a transition that `gateway.core.lifecycle` does not know.
"""

from collections.abc import Iterable

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

from gateway.core.claims import OnSettle
from gateway.core.lifecycle import TRANSITIONS, Outcome, State
from gateway.core.webhooks import Standing
from gateway.ledger.common_sql import only_where

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _any_of(words: Iterable[str]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True, comment="Scope, unit and window; never a limit's name or amount."),
    Column("value", BigInteger, nullable=False, comment="What is used."),
    Column("window_ends", Double, comment="The instant after which it is history; NULL for a level."),
    Column("direct", Boolean, nullable=False, comment="Filled by calls (requests, uploads), not by reservations."),
    Column("granted", BigInteger, comment="What was last taken ahead of use; NULL where nothing is."),
    CheckConstraint("value >= 0", name="value"),
    Index("counters_by_end", "window_ends"),
    sqlite_with_rowid=False,
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Text, primary_key=True, comment="Chosen by the gateway when the create is admitted."),
    Column("team", Text, nullable=False, comment="The team's name, as in its policy."),
    Column("key", Text, nullable=False, comment="The name of the key that called; its text is nowhere."),
    Column("model", Text, nullable=False, comment="The model asked for."),
    Column("credential", Text, nullable=False, comment="The name of the upstream key it was sent with."),
    Column("state", Text, nullable=False, comment="Where it stands: see `gateway.core.lifecycle`."),
    Column("refused", Boolean, nullable=False, comment="Upstream itself answered that the create failed."),
    Column("outcome", Text, comment="How its job ended; NULL until it is settled."),
    Column("price", BigInteger, nullable=False, comment="Micro-USD reserved, as decided at admission."),
    Column("seconds", BigInteger, nullable=False, comment="Seconds of video asked for."),
    Column("charge_failed", Boolean, nullable=False, comment="Whether a failed job keeps its price."),
    Column(
        "body_digest", LargeBinary, nullable=False, comment="SHA-256 of the client's bytes, if they may be repeated."
    ),
    Column("payload_digest", LargeBinary, nullable=False, comment="SHA-256 of the canonical payload."),
    Column("created_at", Double, nullable=False, comment="When it was admitted."),
    Column("updated_at", Double, nullable=False, comment="When it entered its state."),
    Column("instance", Text, comment="The gateway that looks after it; NULL from one that knew no such column."),
    Column("trace", Text, comment="The `traceparent` of the call that made it; NULL where that was not recorded."),
    CheckConstraint(f"state IN {_any_of(State)}", name="state"),
    CheckConstraint(f"outcome IN {_any_of(Outcome)}", name="outcome"),
    CheckConstraint("(outcome IS NOT NULL) = (state = 'settled')", name="settled"),
    CheckConstraint("price >= 0 AND seconds >= 0", name="amounts"),
    Index("reservations_by_team", "team", "created_at"),
    Index("reservations_by_time", "created_at"),
)

without_job = text("state NOT IN ('placed', 'settled')")
"""Reservations that have no job: few, and looked for every second, so they have an index of their own.

Literally so in every query, because SQLite uses a partial index only where it can read the condition.
"""

Index("reservations_without_job", reservations.c.state, reservations.c.updated_at, **only_where(without_job))

claims = Table(
    "claims",
    metadata,
    Column(
        "reservation_id",
        Text,
        ForeignKey("reservations.id", ondelete="CASCADE"),
        primary_key=True,
        comment="Who holds it.",
    ),
    Column("counter", Text, ForeignKey("counters.name", ondelete="CASCADE"), primary_key=True, comment="On what."),
    Column("amount", BigInteger, nullable=False, comment="How much; a claim that came back has no row any more."),
    Column("on_settle", Text, nullable=False, comment="What becomes of it when the job ends."),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint(f"on_settle IN {_any_of(OnSettle)}", name="on_settle"),
    Index("claims_by_counter", "counter"),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("request_id", Text, primary_key=True, comment="Upstream's id; the row makes it one team's for ever."),
    Column(
        "reservation_id",
        Text,
        ForeignKey("reservations.id"),
        nullable=False,
        unique=True,
        comment="The reservation that became this job: its owner, price and outcome.",
    ),
    Column("team", Text, nullable=False, comment="The reservation's team, here for the list's index."),
    Column("model", Text, nullable=False, comment="The reservation's model, here for the list's index."),
    Column("created_at", Double, nullable=False, comment="When the reservation was admitted."),
    Column("status", Text, nullable=False, comment="Upstream's word for where the job stands, as last seen."),
    Column("complete", Boolean, nullable=False, comment="False if the record is kept without its inline data."),
    Column("looked_at", Double, nullable=False, comment="When the record was last seen."),
    Column("next_look_at", Double, nullable=False, comment="When to look next unless a client asks before."),
    Column("settled_at", Double, comment="When its end was written down; NULL while it lives."),
    Column("record", LargeBinary, comment="Upstream's last seen record; NULL once it is 30 days old."),
)

listed = jobs.c.record.is_not(None)
"""Jobs that still have their record: a team's list is made of them."""

Index("jobs_by_team", jobs.c.team, jobs.c.created_at, jobs.c.request_id, **only_where(listed))
Index("jobs_by_model", jobs.c.team, jobs.c.model, jobs.c.created_at, jobs.c.request_id, **only_where(listed))
Index("jobs_by_time", jobs.c.created_at, jobs.c.request_id, **only_where(listed))
Index("jobs_open", jobs.c.next_look_at, **only_where(jobs.c.settled_at.is_(None)))
Index("jobs_ended", jobs.c.settled_at, **only_where(jobs.c.settled_at.is_not(None)))

idempotency = Table(
    "idempotency",
    metadata,
    Column("team", Text, primary_key=True, comment="Keys of different teams have nothing to do with each other."),
    Column("key", Text, primary_key=True, comment="The client's Idempotency-Key."),
    Column(
        "reservation_id",
        Text,
        ForeignKey("reservations.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        nullable=False,
        unique=True,
        comment="The create it executed; its body decides what an equal request is.",
    ),
    Column("created_at", Double, nullable=False, comment="When; after 24 hours the key is free again."),
    Column("status", BigInteger, comment="The HTTP status the first create was answered; NULL until it was."),
    Column("headers", LargeBinary, comment="That answer's headers, as MessagePack pairs of bytes."),
    Column("body", LargeBinary, comment="That answer's body."),
    Index("idempotency_by_time", "created_at"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("name", Text, primary_key=True, comment="What it is an answer to, such as a credential's model listing."),
    Column("headers", LargeBinary, nullable=False, comment="Upstream's headers, as MessagePack pairs of bytes."),
    Column("body", LargeBinary, nullable=False, comment="Upstream's body."),
    Column("fetched_at", Double, nullable=False, comment="When upstream gave it."),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Text, primary_key=True, comment="Chosen by a gateway when it starts."),
    Column("lease_until", Double, nullable=False, comment="When it counts as gone unless it said otherwise before."),
)

refusals = Table(
    "refusals",
    metadata,
    Column("team", Text, primary_key=True, comment="The team's name, as in its policy."),
    Column("starts", Double, primary_key=True, comment="The first instant of the quarter of an hour they fell in."),
    Column("key", Text, primary_key=True, comment="The name of the key that called."),
    Column("model", Text, primary_key=True, comment="The model asked for; `other` for none, or none on offer."),
    Column("code", Text, primary_key=True, comment="The error code they were answered with."),
    Column("count", BigInteger, nullable=False, comment="How many there were."),
    Index("refusals_by_time", "starts"),
    sqlite_with_rowid=False,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True, comment="The `webhook-id`: the same at every attempt."),
    Column("event", Text, nullable=False, unique=True, comment="What it tells: each event is told once."),
    Column("kind", Text, nullable=False, comment="What it tells of, such as `job`."),
    Column("team", Text, nullable=False, comment="The team's name, whose policy must allow the host."),
    Column(
        "reservation_id",
        Text,
        ForeignKey("reservations.id", ondelete="CASCADE"),
        unique=True,
        comment="The reservation whose job's end it tells; NULL where it is about none.",
    ),
    Column("host", Text, nullable=False, comment="The receiver's host."),
    Column("path", Text, nullable=False, comment="The rest of its URL, which may hold a secret of the team's."),
    Column("body", LargeBinary, comment="What is sent; NULL where it is made of the job's record."),
    Column("standing", Text, nullable=False, comment="Where it stands: see `gateway.core.webhooks`."),
    Column("created_at", Double, nullable=False, comment="When it was written down."),
    Column("due_at", Double, comment="Since when it is tried; NULL until it has happened."),
    Column("next_attempt_at", Double, comment="When it is tried next, unless that succeeds; NULL for never."),
    Column("attempts", BigInteger, nullable=False, comment="How often it was tried."),
    Column("status", BigInteger, comment="The HTTP status of the last answer; NULL if there was none."),
    Column("problem", Text, comment="Why the last attempt came to nothing; NULL if it did not."),
    Column("ended_at", Double, comment="When it was delivered or given up; NULL until then."),
    CheckConstraint(f"standing IN {_any_of(Standing)}", name="standing"),
    Index("deliveries_by_time", "created_at"),
    Index("deliveries_by_end", "ended_at"),
)

due_now = text("standing = 'due'")
"""Deliveries to try: literally so, for the same reason."""

Index("deliveries_due", deliveries.c.next_attempt_at, **only_where(due_now))


upload_slots = Table(
    "upload_slots",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the token in the URL; that stands nowhere."),
    Column("team", Text, nullable=False, comment="The team that may upload."),
    Column("key", Text, nullable=False, comment="The name of the key that asked."),
    Column("url", Text, nullable=False, comment="Where the upload goes. It is signed, so a secret while that holds."),
    Column("content_type", Text, nullable=False, comment="The type that was signed."),
    Column("expires_at", Double, nullable=False, comment="When the signature does not hold any more."),
    Index("upload_slots_by_end", "expires_at"),
)


def transition_guards() -> dict[str, tuple[str, ...]]:
    """By database, what makes it refuse every change of state `TRANSITIONS` does not list."""
    allowed = " OR ".join(
        f"(OLD.state = '{source}' AND NEW.state IN {_any_of(sorted(targets))})"
        for source, targets in TRANSITIONS.items()
        if targets
    )
    trigger = "CREATE TRIGGER reservations_transition BEFORE UPDATE OF state ON reservations"
    refuse = (
        "CREATE FUNCTION reservations_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'no such transition' USING ERRCODE = 'check_violation'; END $$"
    )
    return {
        "sqlite": (f"{trigger} WHEN NOT ({allowed}) BEGIN SELECT RAISE(ABORT, 'no such transition'); END",),
        "postgresql": (
            refuse,
            f"{trigger} FOR EACH ROW WHEN (NOT ({allowed})) EXECUTE FUNCTION reservations_transition()",
        ),
    }


def delivery_triggers() -> dict[str, tuple[str, ...]]:
    """By database, what makes a job's delivery due when its reservation is settled, and forgets a released one's.

    The database does it, so that it happens in that same transaction even if a gateway of an older version settles.
    """
    trigger = "CREATE TRIGGER reservations_delivery AFTER UPDATE OF state ON reservations"
    ended = "NEW.state IN ('settled', 'released') AND OLD.state <> NEW.state"
    steps = (
        "DELETE FROM deliveries WHERE reservation_id = NEW.id AND NEW.state = 'released'; "
        "UPDATE deliveries SET standing = 'due', due_at = NEW.updated_at, next_attempt_at = NEW.updated_at "
        "WHERE reservation_id = NEW.id AND standing = 'waiting';"
    )
    function = f"LANGUAGE plpgsql AS $$ BEGIN {steps} RETURN NULL; END $$"
    return {
        "sqlite": (f"{trigger} WHEN {ended} BEGIN {steps} END",),
        "postgresql": (
            f"CREATE FUNCTION reservations_delivery() RETURNS trigger {function}",
            f"{trigger} FOR EACH ROW WHEN ({ended}) EXECUTE FUNCTION reservations_delivery()",
        ),
    }


for _table, _triggers in ((reservations, transition_guards()), (deliveries, delivery_triggers())):
    for _dialect, _statements in _triggers.items():
        for _statement in _statements:
            _ddl = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
            event.listen(_table, "after_create", _ddl.execute_if(dialect=_dialect))
