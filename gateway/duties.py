"""What a gateway does all the while, whoever calls: duties, each done round after round until it closes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from gateway import catalogue, following, recovery, webhooks
from gateway.context import Gateway
from gateway.endings import Elsewhere
from gateway.huge_pages import HugePages
from gateway.ledger.clock import LedgerClock
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.logs import log_event
from gateway.reloading import reload_changed_policies
from gateway.upstream.client import UpstreamFailure

SETTLE_EVERY = 1.0
"""Seconds between two rounds of following open jobs, and of looking up lost creates."""

ATTEND_EVERY = 1.0
"""Seconds between two signs of life to the other gateways on the ledger. One that gives none for ten is gone.

By them the gateway also finds out whether it has a ledger.
"""

HEAR_OF_ENDS_EVERY = 0.25
"""Seconds between two looks into the ledger for jobs that another gateway on it saw end."""

RECALL_EVERY = 5.0
"""Seconds between two looks into the ledger for listings of models, while there are credentials without one here."""

ASK_AGAIN_EVERY = 15.0
"""Seconds between two calls with a credential of which upstream took no key, until it takes one."""

BRING_FORWARD_EVERY = 60.0
"""Seconds between two looks for webhooks that wait for a clock that was set back. Each reads all that are due."""

DELIVER_EVERY = 0.5
"""Seconds between two looks for webhooks that are due, unless a place comes free where there was none left."""

GATHER = 0.02
"""Seconds in which further places may come free, where one did: so that one look serves them all."""

READ_POLICIES_EVERY = 1.0
"""Seconds between two looks whether the policy files have changed. A key that was revoked is to stop within two."""

REVIEW_WAITS_EVERY = 0.5
"""Seconds between two looks for waits that must end. When the gateway drains they are told within one."""

WRITE_REFUSALS_EVERY = 2.0
"""Seconds between two times that the counts of refused calls are written down; a crash loses what came since."""

PURGE_EVERY = 3600.0
"""Seconds between two times that what is past its time is removed from the ledger."""

GATHER_MEMORY_EVERY = 10.0
"""Seconds between two looks for memory that can be put together into huge pages."""

BETWEEN_PAGES = 0.05
"""Seconds between two huge pages, each of which takes up to ten milliseconds of a processor."""

Work = Callable[[], Coroutine[Any, Any, None]]


def begin_duties(gw: Gateway, clock: LedgerClock) -> Callable[[], Awaitable[None]]:
    """Take up every duty; what is returned lays them down again."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_keep(gw, name, work, pause)) for name, work, pause in _duties(gw, clock)]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return end


def _duties(gw: Gateway, clock: LedgerClock) -> Iterator[tuple[str, Work, Work]]:
    """What is done all the while: its name, one round of it, and the pause after a round."""
    yield "attend", partial(attend, gw.ledger, clock), partial(asyncio.sleep, ATTEND_EVERY)
    yield "recall listings", partial(catalogue.recall_listings, gw), partial(asyncio.sleep, RECALL_EVERY)
    yield "hear of ends", Elsewhere(gw).hear, partial(asyncio.sleep, HEAR_OF_ENDS_EVERY)
    yield "follow", partial(_settle, gw, partial(following.follow, gw)), partial(asyncio.sleep, SETTLE_EVERY)
    yield "recover", partial(_settle, gw, partial(recovery.recover, gw)), partial(_woken, gw)
    yield "ask again", partial(_ask_again, gw), partial(asyncio.sleep, ASK_AGAIN_EVERY)
    yield "deliver", partial(_deliver, gw), partial(_freed, gw, DELIVER_EVERY)
    yield "bring forward", partial(_bring_forward, gw), partial(asyncio.sleep, BRING_FORWARD_EVERY)
    yield "read policies", partial(reload_changed_policies, gw), partial(asyncio.sleep, READ_POLICIES_EVERY)
    yield "review waits", partial(_review_waits, gw), partial(asyncio.sleep, REVIEW_WAITS_EVERY)
    yield "write refusals", gw.refusals.write, partial(asyncio.sleep, WRITE_REFUSALS_EVERY)
    yield "purge", partial(_purge, gw), partial(asyncio.sleep, PURGE_EVERY)
    yield "gather memory", partial(_gather_memory, HugePages()), partial(asyncio.sleep, GATHER_MEMORY_EVERY)


async def _keep(gw: Gateway, name: str, work: Work, pause: Work) -> None:
    """Do a duty round after round. One that fails is reported by `Tasks`, and the next comes all the same."""
    while True:
        under_way = gw.tasks.start(work(), name)
        try:
            await asyncio.wait([under_way])
        finally:
            under_way.cancel()
        await pause()


async def attend(ledger: Ledger, clock: LedgerClock) -> None:
    """Say that this gateway is there, by the ledger's own clock. Opens the ledger if that was not possible before.

    What comes of it is whether the ledger is there for this gateway: that it is not is said once, and so is its return.
    """
    try:
        await _attend(ledger, clock)
    except LedgerUnavailable as error:
        if not ledger.lost:
            log_event(logging.ERROR, "ledger lost", error=str(error))
        ledger.lost = True
    else:
        if ledger.lost:
            log_event(logging.INFO, "ledger back")
        ledger.lost = False


async def _attend(ledger: Ledger, clock: LedgerClock) -> None:
    if not ledger.is_open:
        await ledger.open()
    asked = clock.ticks()
    instant = await ledger.instant()
    if instant is not None:
        clock.set(instant, asked, clock.ticks())
    await ledger.renew(clock())


async def _settle(gw: Gateway, work: Work) -> None:
    try:
        await work()
    except LedgerUnavailable:
        gw.metrics.settlement_errors.inc()


async def _woken(gw: Gateway) -> None:
    """Until one more create is in doubt, at most a second."""
    await _set_or_over(gw.wake, SETTLE_EVERY)
    gw.wake.clear()


async def _freed(gw: Gateway, at_most: float) -> None:
    """Until a place for a webhook came free where there was none left, at most so many seconds."""
    if await _set_or_over(gw.outbound.freed, at_most):
        await asyncio.sleep(GATHER)
    gw.outbound.freed.clear()


async def _set_or_over(event: asyncio.Event, seconds: float) -> bool:
    """Until the event is set, at most so long; whether it was."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


async def _review_waits(gw: Gateway) -> None:
    """End the waits that must not go on: all of them while draining, else those whose key is gone."""
    if gw.draining.is_set():
        gw.waits.end_all()
    gw.waits.review(gw.policies.current, gw.now())


async def _ask_again(gw: Gateway) -> None:
    """Ask with each credential whose keys were refused: once they are mended, only a call that succeeds shows it.

    Each worker knows the answers to its own calls alone, and may have no other to make. One that the policies do not
    name any more, as a job of former policies may, has no keys to be mended.
    """
    gw.upstream.keys.keep(gw.policies.current.credentials)
    for credential in gw.upstream.keys.refused:
        with suppress(UpstreamFailure):
            await gw.upstream.list_models(credential)


async def _deliver(gw: Gateway) -> None:
    with suppress(LedgerUnavailable):
        await webhooks.deliver(gw)


async def _bring_forward(gw: Gateway) -> None:
    with suppress(LedgerUnavailable):
        await gw.ledger.outbox.bring_forward(gw.now())


async def _purge(gw: Gateway) -> None:
    with suppress(LedgerUnavailable):
        await gw.ledger.purge(gw.now())


async def _gather_memory(pages: HugePages) -> None:
    """Put together what has lasted, beside the loop."""
    for address in await asyncio.to_thread(pages.due):
        if not await asyncio.to_thread(pages.collapse, address):
            return
        await asyncio.sleep(BETWEEN_PAGES)
