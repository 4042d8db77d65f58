"""The ledger's deliveries as the flows see them: `Ledger.outbox`."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from gateway.ledger import deliveries
from gateway.ledger.delivery_values import Attempt, Backlog, Delivery, DeliveryState, DueDelivery, Notice, Wanted

P = ParamSpec("P")
T = TypeVar("T")


class Doing(Protocol):
    """How the ledger runs one piece of work."""

    async def __call__(
        self, name: str, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """What it comes to. Raises LedgerUnavailable."""


class Outbox:
    """What is to be told to teams' receivers. Every method raises LedgerUnavailable."""

    def __init__(self, write: Doing, read: Doing) -> None:
        self._write = write
        self._read = read

    async def due(
        self,
        now: float,
        full_hosts: Sequence[str],
        full_teams: Sequence[str],
        full_pairs: Sequence[tuple[str, str]],
        limit: int,
    ) -> list[DueDelivery]:
        """What may be tried now, the longest due first, but not to the hosts, of the teams, and of a team to a host."""
        return await self._read("due_deliveries", deliveries.due, now, full_hosts, full_teams, full_pairs, limit)

    async def backlog(self) -> Backlog:
        """What is still to be delivered, for metrics."""
        return await self._read("backlog", deliveries.backlog)

    async def claim(self, wanted: Sequence[DueDelivery], now: float, until: float) -> list[Delivery]:
        """Those of the wanted that this gateway alone may try from `now` until then."""
        return await self._write("claim_deliveries", deliveries.claim, wanted, now, until)

    async def conclude(self, delivery: Delivery, attempt: Attempt, now: float) -> bool:
        """Write down what came of it. False if another gateway has tried it since."""
        return await self._write("conclude_delivery", deliveries.conclude, delivery, attempt, now)

    async def redeliver(self, ids: Sequence[str], now: float) -> int:
        """Try these again from now on, for another day; how many there were. What has not happened yet is left."""
        return await self._write("redeliver", deliveries.redeliver, ids, now)

    async def bring_forward(self, now: float) -> int:
        """Try from now on what would wait for a clock that was set back; how many there were."""
        return await self._write("bring_forward", deliveries.bring_forward, now)

    async def notify(self, notice: Notice, now: float) -> bool:
        """Tell an event that is about no job. True for the one call that was first with its key."""
        return await self._write("notify", deliveries.notify, notice, now)

    async def page(self, wanted: Wanted) -> tuple[list[DeliveryState], int]:
        """Deliveries, newest first, and how many there are in all."""
        return await self._read("list_deliveries", deliveries.page, wanted)
