"""An order, as the ledger takes it."""

from dataclasses import replace

from gateway.core.decide import Decision
from gateway.core.policy import Caller, Key, PolicySet, Team
from gateway.core.repeats import REPEATS_FOR
from gateway.core.wire import draft_of
from gateway.orders import Order, owner_of, reservation_of
from gateway.upstream.client import Trace

TEAM = Team("films", charge_failed=True)
ORDER = Order(
    caller=Caller(TEAM, Key("web", "")),
    policy=PolicySet({}, {}),
    draft=draft_of("Veo3", {"prompt": "a"}, b"body"),
    detail=None,
    reservation_id="r1",
    idempotency_key=None,
    body_digest=b"digest",
    trace=Trace("t1"),
)
DECISION = Decision(steps=(), refusal=None, price=3_200_000, price_text="", seconds=8, claims=())


def merging(window: float) -> Order:
    return replace(ORDER, caller=replace(ORDER.caller, team=replace(TEAM, duplicates_window=window)))


def test_a_create_stands_under_its_clients_key_for_a_day() -> None:
    reservation = reservation_of(replace(merging(60), idempotency_key="mine"), DECISION, 100.0)
    assert (reservation.idempotency_key, reservation.repeats_for) == ("mine", REPEATS_FOR)


def test_without_a_key_it_stands_under_its_bytes_where_the_team_merges_duplicates() -> None:
    reservation = reservation_of(merging(60), DECISION, 100.0)
    assert reservation.idempotency_key == f"body {b'digest'.hex()}"
    assert reservation.repeats_for == 60
    assert " " in reservation.idempotency_key, "no key of a client's can be the same"


def test_else_it_stands_under_nothing() -> None:
    assert reservation_of(ORDER, DECISION, 100.0).idempotency_key is None


def test_nor_does_one_whose_bytes_were_not_digested_when_it_came() -> None:
    reservation = reservation_of(replace(merging(60), body_digest=b""), DECISION, 100.0)
    assert (reservation.idempotency_key, reservation.repeats_for) == (None, REPEATS_FOR)


def test_the_jobs_owner_is_who_ordered_it_at_the_price_that_was_decided() -> None:
    owner, reservation = owner_of(ORDER, DECISION.price, 100.0), reservation_of(ORDER, DECISION, 100.0)
    for name in ("team", "key", "model", "credential", "created_at", "price", "charge_failed"):
        assert getattr(owner, name) == getattr(reservation, name)
    assert (owner.team, owner.key, owner.price, owner.charge_failed) == ("films", "web", 3_200_000, True)
