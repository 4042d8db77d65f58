import asyncio
import threading

import pytest

from gateway.core.claims import OnSettle
from gateway.core.lifecycle import Outcome, State
from gateway.ledger import reservations
from gateway.ledger.ledger import Ledger
from gateway.ledger.operation import APART, Separate
from gateway.ledger.values import Admitted, Full, InProgress, NewReservation, Sighting
from tests.ledger.samples import NOW, claim, create, money, reservation, reserve, send, slot

LENIENT = reservation("a", slot(), money(300), claim("count"), price=300)
STRICT = reservation("a", slot(), money(300), claim("count"), price=300, charge_failed=True)


async def test_a_create_takes_all_its_claims_and_is_told_their_values(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", slot(2), money(300, 1000)))
    assert await ledger.reserve(reservation("b", slot(2), money(300, 1000)), NOW) == Admitted(
        {"red/at-once": 2, "red/usd/2027-01": 600}
    )


async def test_qu4_a_full_claim_leaves_every_other_counter_alone(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", claim("z/last", 9, 10)))
    full = claim("z/last", 2, 10)
    assert await ledger.reserve(reservation("b", slot(5), full, key="k"), NOW) == Full(full, 9)
    assert await ledger.used(["red/at-once", "z/last"]) == {"red/at-once": 0, "z/last": 9}
    assert [entry.id for entry in await ledger.jobless.all()] == ["a"]


async def test_qu7_a_refused_create_does_not_use_up_its_idempotency_key(ledger: Ledger) -> None:
    assert isinstance(await ledger.reserve(reservation("a", claim("c", 2, 1), key="k"), NOW), Full)
    assert isinstance(await ledger.reserve(reservation("b", claim("c", 1, 1), key="k"), NOW), Admitted)


async def test_a_claim_larger_than_its_ceiling_never_fits(ledger: Ledger) -> None:
    assert await ledger.reserve(reservation("a", money(11, 10)), NOW) == Full(money(11, 10), 0)


async def test_a_claim_without_ceiling_is_counted_and_never_refused(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", money(10**12)))
    await reserve(ledger, reservation("b", money(10**12)))
    assert await ledger.used(["red/usd/2027-01"]) == {"red/usd/2027-01": 2 * 10**12}


async def test_a_claim_of_nothing_passes_a_full_counter_and_tells_it(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", money(10, 10)))
    assert await ledger.reserve(reservation("b", money(0, 10)), NOW) == Admitted({"red/usd/2027-01": 10})
    assert await ledger.release("b", NOW, None)
    assert await ledger.used(["red/usd/2027-01"]) == {"red/usd/2027-01": 10}


async def test_qu6_a_lowered_ceiling_refuses_and_a_raised_one_admits_at_once(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", claim("c", 5, 10)))
    assert await ledger.reserve(reservation("b", claim("c", 1, 3)), NOW) == Full(claim("c", 1, 3), 5)
    assert await ledger.reserve(reservation("c", claim("c", 1, 0)), NOW) == Full(claim("c", 1, 0), 5)
    assert isinstance(await ledger.reserve(reservation("d", claim("c", 1, 6)), NOW), Admitted)


@pytest.mark.parametrize(("before", "admitted"), [(0, 10), (9, 1)])
async def test_qu1_eight_gateways_on_one_ledger_admit_exactly_the_limit(url: str, before: int, admitted: int) -> None:
    first = Ledger(url)
    await first.open()
    for number in range(before):
        await reserve(first, reservation(f"before-{number}", claim("c", ceiling=10)))
    start = threading.Barrier(8)
    results: list[object] = []

    async def create_many(who: int) -> None:
        ledger = Ledger(url)
        await ledger.open()
        start.wait()
        new = [reservation(f"{who}-{number}", claim("c", ceiling=10)) for number in range(25)]
        results.extend(await asyncio.gather(*(ledger.reserve(one, NOW) for one in new)))
        await ledger.close()

    threads = [threading.Thread(target=asyncio.run, args=(create_many(who),)) for who in range(8)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert len(results) == 200
    assert sum(isinstance(result, Admitted) for result in results) == admitted
    assert {result.used for result in results if isinstance(result, Full)} == {10}
    assert await first.used(["c"]) == {"c": 10}
    assert await first.verify() == []
    await first.close()


async def test_bu1_a_budget_of_ten_buys_three_at_three(ledger: Ledger) -> None:
    new = [reservation(str(number), money(3, 10), price=3) for number in range(100)]
    results = await asyncio.gather(*(ledger.reserve(one, NOW) for one in new))
    assert sum(isinstance(result, Admitted) for result in results) == 3
    assert await ledger.used(["red/usd/2027-01"]) == {"red/usd/2027-01": 9}


async def test_a_released_create_gives_everything_back_once(ledger: Ledger) -> None:
    await send(ledger, reservation("a", slot(), money(300), claim("count")))
    assert await ledger.release("a", NOW, None)
    assert not await ledger.release("a", NOW, None)
    assert set((await ledger.used(["red/at-once", "red/usd/2027-01", "count"])).values()) == {0}


@pytest.mark.parametrize(
    ("outcome", "new", "charged"),
    [
        (Outcome.SUCCESS, LENIENT, 300),
        (Outcome.EXPIRED, LENIENT, 300),
        (Outcome.FAILED, LENIENT, 0),
        (Outcome.CANCELLED, LENIENT, 0),
        (Outcome.FAILED, STRICT, 300),
    ],
)
async def test_the_end_returns_the_slot_keeps_the_count_and_adjusts_the_money(
    ledger: Ledger, outcome: Outcome, new: NewReservation, charged: int
) -> None:
    request_id = await create(ledger, new)
    assert await ledger.settle(Sighting(request_id, outcome.value, None), outcome, NOW + 60)
    used = await ledger.used(["red/at-once", "red/usd/2027-01", "count"])
    assert used == {"red/at-once": 0, "red/usd/2027-01": charged, "count": 1}
    assert await ledger.verify() == []


async def test_bu4_ends_reported_together_settle_once(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", slot(), money(300)))
    await create(ledger, reservation("b", slot(), money(300)))
    ends = [Outcome.FAILED, Outcome.CANCELLED, Outcome.FAILED, Outcome.CANCELLED]
    settled = await asyncio.gather(*(ledger.settle(Sighting(request_id, "x", None), end, NOW) for end in ends))
    assert sorted(settled) == [False, False, False, True]
    assert await ledger.used(["red/at-once", "red/usd/2027-01"]) == {"red/at-once": 1, "red/usd/2027-01": 300}


async def test_tw3_money_returns_to_the_window_it_was_taken_from(ledger: Ledger) -> None:
    last_night = claim("usd/day-1", 300, 300, OnSettle.ADJUST, NOW)
    this_morning = claim("usd/day-2", 300, 300, OnSettle.ADJUST, NOW + 86_400)
    request_id = await create(ledger, reservation("a", last_night, at=NOW - 0.1))
    await reserve(ledger, reservation("b", this_morning, at=NOW + 1))
    await ledger.settle(Sighting(request_id, "failed", None), Outcome.FAILED, NOW + 2)
    assert await ledger.used(["usd/day-1", "usd/day-2"]) == {"usd/day-1": 0, "usd/day-2": 300}


async def test_only_a_reserved_create_may_be_sent(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a"))
    assert await ledger.mark_sent("a", NOW)
    assert not await ledger.mark_sent("a", NOW)
    assert not await ledger.mark_sent("unknown", NOW)
    await reserve(ledger, reservation("b"))
    await ledger.release("b", NOW, None)
    assert not await ledger.mark_sent("b", NOW)


async def test_a_doubtful_create_keeps_its_claims_until_it_is_found_out(ledger: Ledger) -> None:
    await send(ledger, reservation("a", slot(1)))
    assert await ledger.doubt("a", NOW + 1, refused=True)
    assert not await ledger.doubt("a", NOW + 2)
    [waiting] = await ledger.jobless.all()
    assert (waiting.state, waiting.refused, waiting.updated_at) == (State.UNKNOWN, True, NOW + 1)
    assert (waiting.owner.team, waiting.payload_digest) == ("red", reservation("a").payload_digest)
    assert isinstance(await ledger.reserve(reservation("b", slot(1)), NOW), Full)
    assert await ledger.release("a", NOW, None)
    assert isinstance(await ledger.reserve(reservation("b", slot(1)), NOW), Admitted)


async def test_ac6_a_create_that_stays_unknown_gives_its_slot_back_alone_and_once(ledger: Ledger) -> None:
    await send(ledger, LENIENT)
    assert not await ledger.free_slot("a")
    await ledger.doubt("a", NOW)
    assert [await ledger.free_slot("a") for _ in range(2)] == [True, False]
    assert await ledger.used(["red/at-once", "red/usd/2027-01", "count"]) == {
        "red/at-once": 0, "red/usd/2027-01": 300, "count": 1,
    }  # fmt: skip
    assert await ledger.verify() == []
    assert await ledger.release("a", NOW, None)
    assert set((await ledger.used(["red/at-once", "red/usd/2027-01", "count"])).values()) == {0}


async def test_kl1_an_unsent_create_that_is_taken_over_costs_nothing_and_its_key_begins_anew(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", slot(), money(300), key="k"))
    assert await ledger.jobless.take_over("a", NOW)
    assert not await ledger.jobless.take_over("a", NOW)
    assert await ledger.used(["red/at-once", "red/usd/2027-01"]) == {"red/at-once": 0, "red/usd/2027-01": 0}
    assert isinstance(await ledger.reserve(reservation("b", key="k"), NOW), Admitted)


async def reserve_together(ledger: Ledger, *news: NewReservation) -> list[object]:
    orders = [(new, new.created_at) for new in news]
    return list(await ledger._write("test", reservations.reserve_together, orders, "here"))


async def test_creates_together_are_told_what_each_would_be_alone(ledger: Ledger) -> None:
    await reserve(ledger, reservation("before", slot(), claim("z")))
    news = [reservation("a", slot(5), money(300)), reservation("b", claim("z"), slot(3)), reservation("c")]
    assert await reserve_together(ledger, *news) == [
        Admitted({"red/at-once": 2, "red/usd/2027-01": 300}),
        Admitted({"z": 2, "red/at-once": 3}),
        Admitted({}),
    ]
    assert {(each.id, each.state) for each in await ledger.jobless.all()} == {
        (name, State.RESERVED) for name in ("before", "a", "b", "c")
    }
    assert await ledger.verify() == []


async def test_qu4_those_that_do_not_all_fit_are_left_out_with_all_their_claims(ledger: Ledger) -> None:
    two, other = claim("full", ceiling=2), claim("other", ceiling=9)
    news = [reservation(name, other, two, key=f"key-{name}") for name in "abc"]
    found = await reserve_together(ledger, *news, reservation("d", other))
    assert found == [APART, APART, APART, Admitted({"other": 1})]
    assert await ledger.used(["full", "other"]) == {"full": 0, "other": 1}
    assert isinstance(await ledger.reserve(reservation("e", key="key-a"), NOW), Admitted)
    assert await ledger.verify() == []


async def test_the_lowest_of_different_ceilings_holds_for_all_together(ledger: Ledger) -> None:
    news = [reservation("a", claim("c", 2, 10)), reservation("b", claim("c", 2, 3)), reservation("c", claim("c", 0, 1))]
    assert await reserve_together(ledger, *news) == [APART] * 3
    results = await asyncio.gather(*(ledger.reserve(new, NOW) for new in news))
    assert results == [Admitted({"c": 2}), Full(claim("c", 2, 3), 2), Admitted({"c": 2})]


async def test_id3_of_equal_keys_together_one_is_first(ledger: Ledger) -> None:
    await reserve(ledger, reservation("before", key="old"))
    news = [reservation("a", claim("c"), key="k"), reservation("b", claim("c"), key="k")]
    found = await reserve_together(ledger, *news, reservation("d", claim("c"), key="old"))
    assert found == [Admitted({"c": 1}), APART, InProgress(State.RESERVED)]
    assert await ledger.used(["c"]) == {"c": 1}


async def test_qu1_a_crowd_gets_exactly_the_limit_whoever_goes_with_whom(ledger: Ledger) -> None:
    news = [reservation(str(number), claim("c", ceiling=7), claim("other")) for number in range(60)]
    results = await asyncio.gather(*(ledger.reserve(new, NOW) for new in news))
    assert sum(isinstance(result, Admitted) for result in results) == 7
    assert await ledger.used(["c", "other"]) == {"c": 7, "other": 7}
    assert sorted(result.used["c"] for result in results if isinstance(result, Admitted)) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_mark_that_cannot_be_made_leaves_the_others_theirs(ledger: Ledger) -> None:
    for name in "abc":
        await reserve(ledger, reservation(name))
    assert await ledger.release("b", NOW, None)
    assert await asyncio.gather(*(ledger.mark_sent(name, NOW) for name in "abcd")) == [True, False, True, False]
    with pytest.raises(Separate):
        await ledger._write("test", reservations.mark_sent_together, [("a", NOW), ("b", NOW)])
