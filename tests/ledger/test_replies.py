import asyncio

from gateway.core.lifecycle import State
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Admitted, InProgress, KeptAnswer, Mismatch, Replay
from tests.ledger.samples import DAY, NOW, REPLY, claim, create, placement, reservation, reserve, send


async def test_id1_an_equal_create_gets_the_first_answer_and_costs_nothing(ledger: Ledger, url: str) -> None:
    await create(ledger, reservation("a", claim("c"), key="k"))
    assert await ledger.reserve(reservation("b", claim("c"), key="k"), NOW) == Replay(REPLY)
    await ledger.close()
    reopened = Ledger(url)
    await reopened.open()
    assert await reopened.reserve(reservation("b", claim("c"), key="k"), NOW) == Replay(REPLY)
    assert await reopened.used(["c"]) == {"c": 1}
    await reopened.close()


async def test_id2_another_body_is_a_mismatch(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", key="k"))
    assert await ledger.reserve(reservation("b", key="k", body=b"body "), NOW) == Mismatch()
    await ledger.mark_sent("a", NOW)
    await ledger.place(placement("a", "r"), NOW)
    assert await ledger.reserve(reservation("b", key="k", body=b"body "), NOW) == Mismatch()


async def test_id3_of_twenty_at_once_one_executes(ledger: Ledger) -> None:
    new = [reservation(str(number), claim("c"), key="k") for number in range(20)]
    results = await asyncio.gather(*(ledger.reserve(one, NOW) for one in new))
    assert sorted(type(result).__name__ for result in results) == ["Admitted"] + ["InProgress"] * 19
    assert await ledger.used(["c"]) == {"c": 1}


async def test_a_repeat_hears_where_the_first_stands(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", key="k"))
    assert await ledger.reserve(reservation("b", key="k"), NOW) == InProgress(State.RESERVED)
    await ledger.mark_sent("a", NOW)
    assert await ledger.reserve(reservation("b", key="k"), NOW) == InProgress(State.SENT)
    await ledger.doubt("a", NOW)
    assert await ledger.reserve(reservation("b", key="k"), NOW) == InProgress(State.UNKNOWN)


async def test_ac2_a_lost_create_that_is_found_answers_its_repeats(ledger: Ledger) -> None:
    await send(ledger, reservation("a", key="k"))
    await ledger.doubt("a", NOW)
    found = KeptAnswer(200, (), b"found")
    assert await ledger.place(placement("a", "r", reply=found), NOW) is None
    assert await ledger.reserve(reservation("b", key="k"), NOW) == Replay(found)


async def test_id5_a_refusal_of_upstream_is_replayed_and_a_failure_to_reach_it_is_not(ledger: Ledger) -> None:
    refusal = KeptAnswer(400, ((b"x", b"\xff: y"), (b"x", b"")), b"\x00no")
    await send(ledger, reservation("a", key="refused"))
    await ledger.release("a", NOW, refusal)
    assert await ledger.reserve(reservation("b", key="refused"), NOW) == Replay(refusal)
    await send(ledger, reservation("c", key="unreached"))
    await ledger.release("c", NOW, None)
    assert isinstance(await ledger.reserve(reservation("d", key="unreached"), NOW), Admitted)


async def test_az9_two_teams_may_use_the_same_key(ledger: Ledger) -> None:
    await create(ledger, reservation("a", key="k", team="red"))
    assert isinstance(await ledger.reserve(reservation("b", key="k", team="blue"), NOW), Admitted)


async def test_a_key_is_free_again_after_a_day(ledger: Ledger) -> None:
    await create(ledger, reservation("a", claim("c"), key="k"))
    repeat = reservation("b", claim("c"), key="k", body=b"other")
    assert await ledger.reserve(repeat, NOW + DAY - 1) == Mismatch()
    assert isinstance(await ledger.reserve(repeat, NOW + DAY), Admitted)
    assert await ledger.reserve(reservation("d", key="k", body=b"other"), NOW + DAY) == InProgress(State.RESERVED)


async def test_a_create_without_a_key_is_never_a_repeat(ledger: Ledger) -> None:
    await create(ledger, reservation("a"))
    assert isinstance(await ledger.reserve(reservation("b"), NOW), Admitted)


async def test_id1_what_a_key_stands_for_is_told_without_taking_anything(ledger: Ledger) -> None:
    repeat = reservation("b", claim("c"), key="k")
    assert await ledger.earlier(repeat, NOW) is None
    await reserve(ledger, reservation("a", claim("c"), key="k"))
    assert await ledger.earlier(repeat, NOW) == InProgress(State.RESERVED)
    await ledger.mark_sent("a", NOW)
    await ledger.place(placement("a", "r"), NOW)
    assert await ledger.earlier(repeat, NOW + DAY - 1) == Replay(REPLY)
    assert await ledger.earlier(reservation("c", key="k", body=b"other"), NOW) == Mismatch()
    assert await ledger.earlier(repeat, NOW + DAY) is None
    assert await ledger.earlier(reservation("d", key="k", team="blue"), NOW) is None
    assert await ledger.used(["c"]) == {"c": 1}
