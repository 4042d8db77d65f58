"""Uploads that may come: found by their token's digest, taken once, forgotten when their signature is."""

import asyncio

from gateway.ledger.ledger import Ledger
from gateway.ledger.slots import UploadSlot
from tests.ledger.samples import NOW

SLOT = UploadSlot(b"digest", "a", "main", "https://storage.googleapis.com/b/x?s=canary", "image/png", NOW + 899)


async def test_a_slot_is_found_until_it_expires(ledger: Ledger) -> None:
    await ledger.slots.keep(SLOT)
    await ledger.slots.keep(SLOT)
    assert await ledger.slots.find(b"digest", NOW + 898) == SLOT
    assert await ledger.slots.find(b"digest", NOW + 899) is None
    assert await ledger.slots.find(b"other", NOW) is None


async def test_a_slot_is_taken_once_and_may_be_kept_again(ledger: Ledger) -> None:
    await ledger.slots.keep(SLOT)
    assert sorted(await asyncio.gather(*(ledger.slots.take(SLOT) for _ in range(5)))) == [False] * 4 + [True]
    assert await ledger.slots.find(b"digest", NOW) is None
    await ledger.slots.keep(SLOT)
    assert await ledger.slots.take(SLOT)


async def test_an_expired_slot_is_forgotten(ledger: Ledger) -> None:
    await ledger.slots.keep(SLOT)
    await ledger.purge(NOW + 899)
    assert await ledger.slots.take(SLOT)
    await ledger.slots.keep(SLOT)
    await ledger.purge(NOW + 900)
    assert not await ledger.slots.take(SLOT)


def test_a_slot_shows_no_secret() -> None:
    assert "canary" not in repr(SLOT)
    assert "digest" not in repr(SLOT)
