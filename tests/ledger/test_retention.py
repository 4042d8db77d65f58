from gateway.core.lifecycle import Outcome
from gateway.ledger.ledger import Ledger
from gateway.ledger.retention import BITE
from gateway.ledger.values import Admitted, Refused, Sighting
from tests.ledger.samples import DAY, NOW, claim, create, reservation, reserve, send, slot


async def test_a_record_is_forgotten_after_thirty_days_and_its_owner_never(ledger: Ledger) -> None:
    old = await create(ledger, reservation("old"), Outcome.SUCCESS)
    new = await create(ledger, reservation("new", at=NOW + DAY), Outcome.SUCCESS)
    await ledger.purge(NOW + 30 * DAY + 1)
    jobs, total = await ledger.list_jobs("red", None, 50, 0)
    assert ([job.request_id for job in jobs], total) == ([new], 1)
    assert await ledger.owner_of(old) is not None
    job = await ledger.job(old)
    assert job is not None
    assert (job.record, job.complete) == (None, False)
    assert len(await ledger.usage("red", NOW, NOW + 1)) == 1


async def test_a_counter_is_forgotten_forty_days_after_its_window(ledger: Ledger) -> None:
    await create(ledger, reservation("a", slot(), claim("over", window_ends=NOW), claim("running")), Outcome.SUCCESS)
    await create(ledger, reservation("b", slot(), claim("over", window_ends=NOW)))
    await ledger.purge(NOW + 40 * DAY - 1)
    assert (await ledger.used(["over"])) == {"over": 2}
    await ledger.purge(NOW + 40 * DAY + 1)
    assert await ledger.used(["over", "running", "red/at-once"]) == {"over": 0, "running": 1, "red/at-once": 1}
    assert await ledger.verify() == []
    assert await ledger.settle(Sighting("request-b", "failed", None), Outcome.FAILED, NOW)
    assert await ledger.verify() == []


async def test_request_rates_and_uploads_are_forgotten_after_a_day(ledger: Ledger) -> None:
    await ledger.take_ahead("rate", 5, 10, NOW)
    await ledger.take([claim("uploads", window_ends=NOW)])
    await ledger.purge(NOW + DAY - 1)
    assert await ledger.used(["rate", "uploads"]) == {"rate": 5, "uploads": 1}
    await ledger.purge(NOW + DAY + 1)
    assert await ledger.used(["rate", "uploads"]) == {"rate": 0, "uploads": 0}


async def test_an_idempotency_key_and_a_released_create_are_forgotten(ledger: Ledger) -> None:
    await create(ledger, reservation("a", key="k"))
    await send(ledger, reservation("released"))
    await ledger.release("released", NOW, None)
    await ledger.purge(NOW + DAY + 1)
    assert isinstance(await ledger.reserve(reservation("b", key="k", body=b"other"), NOW), Admitted)
    await ledger.purge(NOW + 40 * DAY + 1)
    assert isinstance(await ledger.reserve(reservation("released"), NOW), Admitted)


async def test_refused_calls_are_forgotten_after_four_hundred_days(ledger: Ledger) -> None:
    codes = [Refused("red", "web", "Veo3", f"code-{number}", NOW) for number in range(BITE + 1)]
    await ledger.add_refusals(dict.fromkeys(codes, 1))
    await ledger.add_refusals({Refused("red", "web", "Veo3", "quota_exceeded", NOW + 900): 3})
    await ledger.purge(NOW + 400 * DAY)
    assert [row.refused for row in await ledger.usage("red", NOW, NOW + DAY)] == [BITE + 4]
    await ledger.purge(NOW + 400 * DAY + 1)
    assert [row.refused for row in await ledger.usage("red", NOW, NOW + DAY)] == [3]


async def test_more_than_a_bite_is_forgotten_in_several(ledger: Ledger) -> None:
    for start in range(0, BITE + 20, 20):
        for number in range(start, start + 20):
            await reserve(ledger, reservation(str(number), claim("over", window_ends=NOW)))
    await ledger.purge(NOW + 40 * DAY + 1)
    assert await ledger.used(["over"]) == {"over": 0}
    assert await ledger.verify() == []
