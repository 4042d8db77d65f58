from gateway.core.lifecycle import Outcome, State
from gateway.ledger.ledger import Ledger
from gateway.ledger.reader import read_ledger
from gateway.ledger.values import Difference, Misplaced, OpenCounts, Refused, Sighting, UsageRow
from tests.ledger.samples import DAY, NOW, claim, create, money, reservation, reserve, run_sql, send, slot


async def test_usage_counts_jobs_and_money_by_key_and_model(ledger: Ledger) -> None:
    await create(ledger, reservation("a", price=100), Outcome.SUCCESS)
    await create(ledger, reservation("b", price=100), Outcome.FAILED)
    await create(ledger, reservation("c", price=100, charge_failed=True), Outcome.CANCELLED)
    await create(ledger, reservation("d", price=100), Outcome.EXPIRED)
    await create(ledger, reservation("e", price=70))
    await send(ledger, reservation("f", price=7))
    await send(ledger, reservation("released", price=1000))
    await ledger.release("released", NOW, None)
    await create(ledger, reservation("g", model="Kling", price=5), Outcome.SUCCESS)
    await create(ledger, reservation("h", team="blue", price=9))
    red = [
        UsageRow("red", "web", "Kling", 1, 1, 0, 0, 5, 0, 0, 8),
        UsageRow("red", "web", "Veo3", 6, 1, 3, 2, 300, 77, 0, 48),
    ]
    blue = [UsageRow("blue", "web", "Veo3", 1, 0, 0, 1, 0, 9, 0, 8)]
    assert await ledger.usage("red", NOW, NOW + 1) == red
    assert await ledger.usage(None, NOW, NOW + 1) == blue + red


async def test_usage_belongs_to_the_time_of_the_create(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", at=NOW))
    await ledger.settle(Sighting(request_id, "success", None), Outcome.SUCCESS, NOW + DAY)
    assert await ledger.usage("red", NOW - DAY, NOW) == []
    assert len(await ledger.usage("red", NOW, NOW + 1)) == 1
    assert await ledger.usage("red", NOW + 1, NOW + 9 * DAY) == []


async def test_usage_shows_refused_calls_beside_jobs_and_alone(ledger: Ledger) -> None:
    await create(ledger, reservation("a", price=5), Outcome.SUCCESS)
    await ledger.add_refusals(
        {
            Refused("red", "web", "Veo3", "quota_exceeded", NOW): 2,
            Refused("red", "web", "Veo3", "budget_exceeded", NOW): 3,
            Refused("red", "batch", "other", "model_not_allowed", NOW): 1,
            Refused("blue", "web", "Veo3", "quota_exceeded", NOW): 7,
        }
    )
    alone = UsageRow("red", "batch", "other", 0, 0, 0, 0, 0, 0, 1, 0)
    beside = UsageRow("red", "web", "Veo3", 1, 1, 0, 0, 5, 0, 5, 8)
    assert await ledger.usage("red", NOW, NOW + 1) == [alone, beside]
    blue = UsageRow("blue", "web", "Veo3", 0, 0, 0, 0, 0, 0, 7, 0)
    assert await ledger.usage(None, NOW, NOW + 1) == [blue, alone, beside]


async def test_open_counts_tell_what_is_under_way(ledger: Ledger) -> None:
    nothing = dict.fromkeys((State.RESERVED, State.SENT, State.UNKNOWN, State.PLACED), 0)
    assert await ledger.open_counts() == OpenCounts(nothing, None, {})
    await reserve(ledger, reservation("a", at=NOW + 3))
    await send(ledger, reservation("b", at=NOW + 2))
    await send(ledger, reservation("c", at=NOW + 1))
    await ledger.doubt("c", NOW + 9)
    await send(ledger, reservation("d"))
    await ledger.release("d", NOW, None)
    await create(ledger, reservation("e"), Outcome.SUCCESS)
    await create(ledger, reservation("f"))
    await create(ledger, reservation("g", model="Kling"))
    counts = await ledger.open_counts()
    assert counts.reservations == {State.RESERVED: 1, State.SENT: 1, State.UNKNOWN: 1, State.PLACED: 2}
    assert counts.oldest == NOW + 1
    assert counts.active == {("red", "Veo3"): 1, ("red", "Kling"): 1}


async def test_verify_names_a_counter_that_was_changed_behind_its_back(ledger: Ledger, url: str) -> None:
    await create(ledger, reservation("a", slot(), money(300), claim("count")), Outcome.SUCCESS)
    await create(ledger, reservation("b", money(200)))
    await ledger.take([claim("uploads")])
    assert await ledger.verify() == []
    run_sql(url, "UPDATE counters SET value = value + 1 WHERE name IN ('red/usd/2027-01', 'uploads')")
    assert await ledger.verify() == [Difference("red/usd/2027-01", 501, 500)]


async def test_verify_names_a_counter_that_still_holds_what_should_have_come_back(ledger: Ledger, url: str) -> None:
    await create(ledger, reservation("a", slot(), money(300)))
    run_sql(url, "UPDATE reservations SET state = 'settled', outcome = 'failed'")
    assert await ledger.verify() == [Difference("red/at-once", 1, 0), Difference("red/usd/2027-01", 300, 0)]


async def test_verify_names_a_job_whose_reservation_was_released(ledger: Ledger, url: str) -> None:
    await create(ledger, reservation("a"))
    await send(ledger, reservation("b"))
    await ledger.release("b", NOW, None)
    run_sql(url, "UPDATE jobs SET reservation_id = 'b'")
    assert await ledger.verify() == [Misplaced("request-a", State.RELEASED)]
    assert str(Misplaced("request-a", State.RELEASED)) == (
        "job request-a: its reservation is released, should be placed or settled"
    )


async def test_commands_read_teams_unknown_jobs_a_sample_and_how_it_is_kept(ledger: Ledger, url: str) -> None:
    known = await create(ledger, reservation("a", money(5), slot(), price=5))
    await ledger.add_refusals({Refused("blue", "web", "other", "model_not_allowed", NOW): 1})
    run_sql(url, "UPDATE counters SET value = value + 1 WHERE name = 'red/usd/2027-01'")
    with read_ledger(url) as reader:
        assert reader.teams() == {"red", "blue"}
        assert reader.unknown_jobs({known, "another"}) == {"another"}
        assert reader.unknown_jobs(set()) == set()
        assert reader.verify() == reader.verify(2) == [Difference("red/usd/2027-01", 6, 5)]
        assert reader.verify(1) == []  # the level comes first
        assert reader.counted() == 2
        assert reader.durability().settings.startswith(("journal_mode=wal, synchronous=FULL", "fsync="))
        assert (reader.instant() is None) is url.startswith("sqlite")
