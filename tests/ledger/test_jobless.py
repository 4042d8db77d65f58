"""Which reservations have no job, and which of them nobody attends to."""

from gateway.ledger.instances import LEASE
from gateway.ledger.ledger import Ledger
from tests.ledger.samples import NOW, create, placement, reservation, reserve, send


async def test_creates_without_a_job_come_oldest_first(ledger: Ledger) -> None:
    await reserve(ledger, reservation("late", at=NOW + 2))
    await send(ledger, reservation("early", at=NOW + 1))
    await create(ledger, reservation("placed"))
    await send(ledger, reservation("released"))
    await ledger.release("released", NOW, None)
    assert [entry.id for entry in await ledger.jobless.all()] == ["early", "late"]


async def test_unattended_are_the_unknown_the_idle_and_those_of_a_gateway_that_is_gone(ledger: Ledger) -> None:
    await send(ledger, reservation("idle", at=NOW - 61))
    await send(ledger, reservation("working", at=NOW))
    await send(ledger, reservation("unknown", at=NOW))
    await ledger.doubt("unknown", NOW)
    assert [each.id for each in await ledger.jobless.unattended(NOW, 60)] == ["idle", "unknown"]
    gone = NOW + LEASE + 1
    assert {each.id for each in await ledger.jobless.unattended(gone, 60)} == {"idle", "unknown", "working"}


async def test_jobless_are_all_that_were_sent_there(ledger: Ledger) -> None:
    for name, model in (("a", "Veo3"), ("b", "Veo3"), ("c", "Kling"), ("d", "Veo3")):
        await send(ledger, reservation(name, model=model))
    await reserve(ledger, reservation("reserved"))
    await ledger.doubt("b", NOW + 1)
    assert await ledger.place(placement("d", "request-d"), NOW) is None
    assert [each.id for each in await ledger.jobless.sent("default", "Veo3")] == ["a", "b"]
    assert await ledger.jobless.sent("studio", "Veo3") == []
