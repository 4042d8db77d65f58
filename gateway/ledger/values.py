"""What goes into the ledger and what comes out. Times are unix seconds, money is micro-USD."""

import secrets
from dataclasses import dataclass

import msgspec

from gateway.core.addresses import Target
from gateway.core.claims import Claim
from gateway.core.headers import Headers
from gateway.core.lifecycle import Outcome, State, money_is_kept


def new_reservation_id(now: float) -> str:
    """An id nobody else chooses. It begins with the time, so that in the ledger's indexes new ones lie side by side."""
    return f"{int(now * 1000):012x}{secrets.token_hex(10)}"


@dataclass(frozen=True, slots=True)
class NewReservation:
    """One create about to be sent.

    `body_digest` is the SHA-256 of the client's bytes, by which a repeat is told; it is empty only without a key.
    A create with an `idempotency_key` of the last `repeats_for` seconds, at most a day, is a repeat of that one.
    `webhook` is told how its job ends. `trace` is the `traceparent` of the call, where that is recorded.
    """

    id: str
    team: str
    key: str
    model: str
    credential: str
    price: int
    seconds: int
    charge_failed: bool
    claims: tuple[Claim, ...]
    body_digest: bytes
    payload_digest: bytes
    idempotency_key: str | None
    created_at: float
    repeats_for: float
    webhook: Target | None = None
    trace: str | None = None

    def __post_init__(self) -> None:
        if self.idempotency_key is not None and not self.body_digest:
            raise ValueError("without a digest of its bytes, every create under the key would be a repeat")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer kept for replay: what the first create was told."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """All claims were taken. `used` is each counter's value afterwards."""

    used: dict[str, int]


@dataclass(frozen=True, slots=True)
class Full:
    """A claim did not fit and nothing was taken. `used` is that counter's value."""

    claim: Claim
    used: int


@dataclass(frozen=True, slots=True)
class Replay:
    """The idempotency key was used before with the same bytes, and this is what came of it."""

    reply: KeptAnswer


@dataclass(frozen=True, slots=True)
class InProgress:
    """The first create with this idempotency key has no answer yet; `state` says where it stands."""

    state: State


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The idempotency key was used before with other bytes."""


Reserved = Admitted | Full | Replay | InProgress | Mismatch


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Whose job a request id is, for ever. `outcome` is None while the job lives.

    `trace` is the `traceparent` of the create, where that was recorded.
    """

    team: str
    key: str
    model: str
    credential: str
    created_at: float
    price: int
    charge_failed: bool
    outcome: Outcome | None = None
    trace: str | None = None

    def charge(self, outcome: Outcome) -> int:
        """The micro-USD kept when the job ends so."""
        return self.price if money_is_kept(outcome, charge_failed=self.charge_failed) else 0


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job without end whose next look is due, and whose it is. `created_at` is when its create was admitted."""

    request_id: str
    team: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """What upstream said of a job. `record` None keeps the one last seen; `complete` False says it was slimmed."""

    request_id: str
    status: str
    record: bytes | None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    """Upstream's word that a reservation became a job.

    `outcome` is set when the job had already ended. `complete` is False for a record kept without its payload and
    inline data. `reply` is what a repeat with the same idempotency key is told.
    """

    reservation_id: str
    request_id: str
    status: str
    record: bytes
    complete: bool
    outcome: Outcome | None
    reply: KeptAnswer


@dataclass(frozen=True, slots=True)
class OwnedByAnother:
    """The request id already belongs to another reservation, whose it stays; this one's outcome is unknown.

    Also for a reservation that had already ended (released, or placed under another id): it cannot become a job.
    """


@dataclass(frozen=True, slots=True)
class OpenReservation:
    """A reservation without a job: `reserved`, `sent` or `unknown`.

    `refused` when upstream answered the create with an error of its own (500, 503), which makes a job unlikely.
    `instance` is the gateway that looks after it, None where that was not written down.
    """

    id: str
    owner: Owner
    state: State
    payload_digest: bytes
    refused: bool
    updated_at: float
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a team's list. `record` is upstream's last seen record, or None if none was seen yet."""

    request_id: str
    team: str
    key: str
    model: str
    status: str
    record: bytes | None
    complete: bool
    price: int
    created_at: float
    settled_at: float | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one team, key and model did in a month: jobs by outcome, money kept and still held, calls refused.

    `seconds` of video are those the jobs asked for, however they ended.
    """

    team: str
    key: str
    model: str
    jobs: int
    succeeded: int
    failed: int
    open: int
    charged: int
    held: int
    refused: int
    seconds: int

    @property
    def spent(self) -> int:
        """What counts against a budget: money kept, and money held that running jobs may still give back."""
        return self.charged + self.held


@dataclass(frozen=True, slots=True)
class Refused:
    """Calls refused alike: whose, for which model, with which code, and in the quarter of an hour from `starts`."""

    team: str
    key: str
    model: str
    code: str
    starts: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter whose value is not the sum of its claims."""

    counter: str
    value: int
    expected: int

    def __str__(self) -> str:
        return f"{self.counter}: is {self.value}, should be {self.expected}"


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A job whose reservation is neither placed nor settled."""

    request_id: str
    state: State

    def __str__(self) -> str:
        return f"job {self.request_id}: its reservation is {self.state}, should be placed or settled"


Wrong = Difference | Misplaced
"""What a ledger that is verified must not have."""


@dataclass(frozen=True, slots=True)
class Durability:
    """How the database keeps what is committed, in words. `problem` says what may be lost, and is empty for nothing."""

    settings: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """What is under way. `oldest` is when the oldest reservation without a job was made."""

    reservations: dict[State, int]
    oldest: float | None
    active: dict[tuple[str, str], int]
    """Jobs that have not ended, by team and model."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An answer of upstream kept over restarts, and when it was given."""

    headers: Headers
    body: bytes
    fetched_at: float
