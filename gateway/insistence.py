"""Writing what must be written to a ledger that may be away: now, or as soon as it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.context import Gateway
from gateway.ledger.ledger import LedgerUnavailable

T = TypeVar("T")

_AGAIN = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two attempts; the last stands for all that follow."""


async def insist(gw: Gateway, write: Callable[[], Awaitable[T]]) -> T | None:
    """`insist_quietly`, where what is written settles or commits: that it could not be is counted, for an alert."""
    return await insist_quietly(gw, write, gw.metrics.settlement_errors.inc)


async def insist_quietly(
    gw: Gateway, write: Callable[[], Awaitable[T]], on_failure: Callable[[], None] = lambda: None
) -> T | None:
    """Write to the ledger; if it cannot be reached, go on trying behind the caller's back, who gets None."""
    try:
        return await write()
    except LedgerUnavailable:
        on_failure()
        gw.tasks.start(_repeat(write), "write to the ledger again")
        return None


async def _repeat(write: Callable[[], Awaitable[object]]) -> None:
    attempt = 0
    while True:
        await asyncio.sleep(_AGAIN[min(attempt, len(_AGAIN) - 1)])
        attempt += 1
        try:
            await write()
        except LedgerUnavailable:
            continue
        return
