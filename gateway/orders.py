"""One create as the flow of admission carries it: what is ordered, what becomes of it, and how the ledger takes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.core.addresses import Target
from gateway.core.decide import Decision
from gateway.core.detail import ModelDetail
from gateway.core.policy import Caller, PolicySet, Team
from gateway.core.repeats import REPEATS_FOR
from gateway.core.wire import Draft
from gateway.ledger.values import KeptAnswer, NewReservation, Owner
from gateway.upstream.client import Trace


@dataclass(frozen=True, slots=True)
class Created:
    """Upstream's answer to a create. `replayed` when it is the first answer given again.

    `used` is each counter it took from, afterwards; empty where everything was given back.

    `upstream_seconds` is what upstream took for it.
    """

    answer: KeptAnswer
    used: Mapping[str, int]
    replayed: bool = False
    upstream_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """One create to be carried out: who, under which policy generation, what, and its ids.

    `on_decided` is told the decision, whatever comes of it, and `on_placed` the id of the job that came of it.
    `webhook` is told how that job ends.

    `body_digest` is the SHA-256 of the draft's bytes, by which a repeat is told; empty where it was not
    `is_repeatable` when it came. Then it repeats nothing, whatever policy is in force when it is carried out.
    """

    caller: Caller
    policy: PolicySet
    draft: Draft
    detail: ModelDetail | None
    reservation_id: str
    idempotency_key: str | None
    body_digest: bytes
    trace: Trace
    on_decided: Callable[[Decision], None] = lambda _: None
    on_placed: Callable[[str], None] = lambda _: None
    webhook: Target | None = None


def is_repeatable(team: Team, idempotency_key: str | None) -> bool:
    """Whether another create with the same bytes may be a repeat: by the client's key, or by the team's policy."""
    return idempotency_key is not None or team.duplicates_window > 0


def owner_of(order: Order, price: int, now: float) -> Owner:
    """Whose the job is that came of it, at its price in micro-USD."""
    team = order.caller.team
    return Owner(
        team=team.name,
        key=order.caller.key.name,
        model=order.draft.model,
        credential=team.credential,
        created_at=now,
        price=price,
        charge_failed=team.charge_failed,
        trace=order.trace.span,
    )


def reservation_of(order: Order, decision: Decision, now: float) -> NewReservation:
    """The order as the ledger takes it.

    Where the team's policy merges duplicates, a create without a key stands under its own bytes for a while; no key of
    a client's is like that, because theirs hold no space.
    """
    team = order.caller.team
    merged = order.idempotency_key is None and team.duplicates_window > 0 and order.body_digest != b""
    return NewReservation(
        id=order.reservation_id,
        team=team.name,
        key=order.caller.key.name,
        model=order.draft.model,
        credential=team.credential,
        price=decision.price,
        seconds=decision.seconds,
        charge_failed=team.charge_failed,
        claims=decision.claims,
        body_digest=order.body_digest,
        payload_digest=order.draft.payload_digest,
        idempotency_key=f"body {order.body_digest.hex()}" if merged else order.idempotency_key,
        created_at=now,
        repeats_for=team.duplicates_window if merged else REPEATS_FOR,
        webhook=order.webhook,
        trace=order.trace.span,
    )
