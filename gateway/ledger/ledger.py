"""The ledger as the flows see it: every operation durable when it returns, whoever stopped waiting.

Instants are passed in as unix seconds, money is micro-USD. Every method raises LedgerUnavailable when the database
cannot be read or written. A write that raised it has changed nothing, unless a server was lost while it committed or
did not answer in time, which the exception says; a create's claims are then given back as soon as that is known.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from gateway.core.claims import Claim
from gateway.core.lifecycle import Outcome
from gateway.ledger import counters, instances, jobs, refusals, replies, reservations, retention, snapshots, usage
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.gathered_reads import GatheredReads
from gateway.ledger.jobless import Jobless
from gateway.ledger.looks import Looks
from gateway.ledger.operation import Together, Work, Writing, do_each, measured
from gateway.ledger.outbox import Outbox
from gateway.ledger.readers import Readers
from gateway.ledger.shared_reads import SharedReads
from gateway.ledger.slots import Slots
from gateway.ledger.values import (
    Admitted,
    Full,
    InProgress,
    Job,
    KeptAnswer,
    Mismatch,
    NewReservation,
    OpenCounts,
    OwnedByAnother,
    Owner,
    Placement,
    Refused,
    Replay,
    Reserved,
    Sighting,
    Snapshot,
    UsageRow,
    Wrong,
)

__all__ = ["Ledger", "LedgerUnavailable"]

P = ParamSpec("P")
T = TypeVar("T")

_CLOSED = "the ledger is closed"


class Ledger:
    """One process's hold on the ledger at `url`. `timed` is told each operation's name and seconds, as metrics do.

    `instance` is this gateway's name among those that share the ledger, and `replicas` how many of them were there
    when its lease was last renewed: 0 until then. `lost` is set while its signs of life come to nothing.
    """

    def __init__(self, url: str, timed: Callable[[str, float], None] | None = None) -> None:
        self._url = ledger_url(url)
        self._timed = timed
        self.instance = uuid.uuid4().hex
        self.replicas = 0
        self.lost = False
        self._lease_until = 0.0
        self._returning: asyncio.Task[None] | None = None
        self._reserve_together = partial(reservations.reserve_together, instance=self.instance)
        self._backend = backend_of(self._url)
        self._writer: Writing | None = None
        self._readers: Readers | None = None
        self._owners = GatheredReads[Owner](self.owners)
        self._used = GatheredReads[int](lambda names: self._read("used", counters.values_of, names))
        self._pages = SharedReads(self._read, "list_jobs", jobs.page)
        self._usages = SharedReads(self._read, "usage", usage.usage)
        self.outbox = Outbox(self._write, self._read)
        self.looks = Looks(self._write, self._read)
        self.slots = Slots(self._write, self._read)
        self.jobless = Jobless(self._write, self._read, self.instance)

    async def open(self) -> None:
        """Check the database, bring its schema up to date, and begin. Raises LedgerUnavailable saying why not."""
        await asyncio.to_thread(self._backend.prepare, self._url)
        self._writer = self._backend.writer(self._url)  # first, because it may refuse
        self._readers = self._backend.readers(self._url)

    async def close(self) -> None:
        """Finish what was begun and let go of the file. A closed ledger is unavailable; closing again does nothing."""
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        if writer is None or readers is None:
            return
        if self.replicas:
            with suppress(LedgerUnavailable):
                await writer.write(partial(instances.leave, instance=self.instance))
        await asyncio.to_thread(writer.stop)
        await asyncio.to_thread(readers.stop)

    @property
    def is_open(self) -> bool:
        """Whether `open` succeeded and `close` was not called since."""
        return self._writer is not None

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded, and the last sign of life, which is tried every second."""
        return self._writer is not None and self._writer.healthy and not self.lost

    async def reserve(self, new: NewReservation, now: float) -> Reserved:
        """Take every claim of a create or none, unless its idempotency key stands for an earlier one."""
        if not instances.is_current(self._lease_until, now):
            await self._return(now)
        work = partial(reservations.reserve, new=new, now=now, instance=self.instance)
        again = partial(reservations.reserve_again, new=new, now=now, instance=self.instance)
        take_back = partial(reservations.release, reservation_id=new.id, now=now, reply=None)
        together: Together[Reserved] = Together(self._reserve_together, (new, now))
        return await self._submit("reserve", work, again, new.team, together, take_back)

    async def renew(self, now: float) -> None:
        """Say that this gateway is there. One that does not for `LEASE` seconds counts as gone."""
        work = partial(instances.renew, instance=self.instance, now=now)
        self.replicas = await self._submit("renew", work, work, together=Together(do_each, work))
        self._lease_until = now + instances.LEASE

    async def present(self, now: float) -> frozenset[str]:
        """The gateways that share the ledger and are there, this one always among them."""
        return frozenset((self.instance,)) | await self._read("present", instances.present, now)

    async def _return(self, now: float) -> None:
        """Be present again, or others would take a create for one that was left behind; once for all that come now."""
        if self._returning is None or self._returning.done():
            self._returning = asyncio.ensure_future(self.renew(now))
            self._returning.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._returning)

    async def instant(self) -> float | None:
        """The clock of the ledger, unix seconds; None where it is this machine's. No long read holds it up."""
        read = self._backend.instant
        return await self._submit("instant", read, read, together=Together(do_each, read)) if read else None

    async def mark_sent(self, reservation_id: str, now: float) -> bool:
        """From here on upstream may have read the create. False if it is not `reserved` any more: do not send it."""
        work = partial(reservations.mark_sent, reservation_id=reservation_id, now=now)
        again = partial(reservations.mark_sent_again, reservation_id=reservation_id, now=now)
        together = reservations.mark_sent_together
        return await self._submit("mark_sent", work, again, together=Together(together, (reservation_id, now)))

    async def place(self, placement: Placement, now: float) -> OwnedByAnother | None:
        """Upstream named the job: it is the reservation's for ever. A repeat changes nothing."""
        work = partial(jobs.place, placement=placement, now=now)
        return await self._submit("place", work, work, together=Together(jobs.place_together, (placement, now)))

    async def release(self, reservation_id: str, now: float, reply: KeptAnswer | None) -> bool:
        """There is no job: every claim comes back. False if the reservation had already ended.

        `reply` is what a repeat with the same idempotency key is told; None lets a repeat execute anew.
        """
        return await self._write("release", reservations.release, reservation_id, now, reply)

    async def refuse(self, reservation_id: str, left: Sighting, now: float, reply: KeptAnswer | None) -> bool:
        """`release` where upstream keeps a failed job of the refused create, which is the team's and costs nothing."""
        return await self._write("refuse", jobs.refuse, reservation_id, left, now, reply)

    async def doubt(self, reservation_id: str, now: float, *, refused: bool = False) -> bool:
        """Nobody knows whether there is a job: everything stays claimed. False if it is not `sent`."""
        return await self._write("doubt", reservations.doubt, reservation_id, now, refused=refused)

    async def free_slot(self, reservation_id: str) -> bool:
        """A create that stays unknown holds no slot any more; money and counts stay. False if it held none."""
        return await self._write("free_slot", reservations.free_slot, reservation_id)

    async def settle(self, sighting: Sighting, outcome: Outcome, now: float) -> bool:
        """The job ended, and this was last seen of it. True for the one call that did it."""
        return await self._write("settle", jobs.end, sighting, outcome, now)

    async def observe(self, sighting: Sighting, now: float) -> bool:
        """Keep what was last seen of a job that lives, one after the other. False if there is none such."""
        work = partial(jobs.observe, sighting=sighting, now=now)
        return await self._submit("observe", work, work, sighting.request_id)

    async def take(self, claims: Iterable[Claim]) -> Admitted | Full:
        """Take claims that no job holds (uploads), all or none: the first that does not fit is returned."""
        return await self._submit("take", partial(counters.take_directly, claims=claims), None)

    async def give_back(self, claims: Iterable[Claim]) -> None:
        """Undo a `take` that came to nothing. To do it twice would undo another's."""
        amounts = [(claim.counter, claim.amount) for claim in claims]
        await self._submit("give_back", partial(counters.give_back, amounts=amounts), None)

    async def take_ahead(self, counter: str, amount: int, ceiling: int, window_ends: float | None) -> tuple[int, int]:
        """As much of `amount` as fits below the ceiling, and the counter's value afterwards."""
        work = partial(counters.take_ahead, counter=counter, amount=amount, ceiling=ceiling, window_ends=window_ends)
        return await self._submit("take_ahead", work, None, counter)

    async def give_ahead_back(self, amounts: Mapping[str, int]) -> None:
        """Return what was taken ahead, by counter, and not used."""
        await self._submit("give_ahead_back", partial(counters.give_back, amounts=amounts.items()), None)

    async def save_snapshot(self, name: str, snapshot: Snapshot) -> None:
        """Keep an answer of upstream over restarts, unless a newer one is kept."""
        await self._write("save_snapshot", snapshots.save, name, snapshot)

    async def add_refusals(self, counts: Mapping[Refused, int]) -> None:
        """Add calls that were refused to those counted before."""
        await self._submit("add_refusals", partial(refusals.add, counts=counts), None)

    async def purge(self, now: float) -> None:
        """Forget what is old enough, bite by bite, with others' operations in between."""
        while await self._write("purge", retention.purge, now):
            pass

    async def earlier(self, new: NewReservation, now: float) -> Replay | InProgress | Mismatch | None:
        """What came of the create that the key of this one stands for; None if it stands for none."""
        return await self._read("earlier", replies.earlier, new, now)

    async def owner_of(self, request_id: str) -> Owner | None:
        """Whose job this is; None for an id nobody owns."""
        return (await self._owners.read((request_id,))).get(request_id)

    async def owners(self, request_ids: Sequence[str]) -> dict[str, Owner]:
        """Whose jobs these are, by id. One that nobody owns is not among them."""
        return await self._read("owners", jobs.owners, request_ids)

    async def job(self, request_id: str) -> Job | None:
        """One job with its last seen record."""
        return await self._read("job", jobs.job, request_id)

    async def list_jobs(self, team: str | None, model: str | None, limit: int, offset: int) -> tuple[list[Job], int]:
        """Jobs with their records, newest first, fewer where those are large; and how many there are. None is any."""
        return await self._pages.read(team, model, limit, offset)

    async def used(self, names: Sequence[str]) -> dict[str, int]:
        """What is used of each counter; 0 for one nobody has used."""
        found = await self._used.read(names)
        return {name: found[name] for name in names}

    async def usage(self, team: str | None, starts: float, ends: float) -> list[UsageRow]:
        """Usage by team, key and model: creates admitted and calls refused from `starts` until before `ends`."""
        return await self._usages.read(team, starts, ends)

    async def open_counts(self) -> OpenCounts:
        """What is under way right now, for metrics."""
        return await self._read("open_counts", usage.open_counts)

    async def load_snapshot(self, name: str) -> Snapshot | None:
        """The answer kept under this name."""
        return await self._read("load_snapshot", snapshots.load, name)

    async def survey(self, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs) -> T:
        """What a query of `gateway.ledger.overview` finds. Nothing is decided by it."""
        return await self._read(work.__name__, work, *arguments, **options)

    async def verify(self) -> list[Wrong]:
        """Every counter that is not the sum of its reservations, and every job that none of them placed."""
        return await self._read("verify", usage.verify)

    async def _write(
        self, name: str, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Do `work`, which changes nothing more when it is done twice."""

        def bound(connection: Connection) -> T:
            return work(connection, *arguments, **options)

        return await self._submit(name, bound, bound)

    async def _submit(
        self,
        name: str,
        work: Work[T],
        again: Work[T] | None,
        lane: str = "",
        together: Together[T] | None = None,
        take_back: Work[bool] | None = None,
    ) -> T:
        """Do `work` on a writing thread. It is done even if the caller goes away.

        `again` is done instead after an attempt of which nobody knows whether it was committed; with None that is the
        end, and what was counted stays counted. `take_back` is done after one that may be committed although this
        raised LedgerUnavailable. What has one `lane` is done one after the other.
        """
        if self._writer is None:
            raise LedgerUnavailable(_CLOSED)
        with measured(name, self._timed):
            return await self._writer.write(work, again, lane, together, take_back)

    async def _read(
        self, name: str, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Do `work` on a reading thread, in a snapshot of one instant."""
        if self._readers is None:
            raise LedgerUnavailable(_CLOSED)
        with measured(name, self._timed):
            return await self._readers.read(lambda connection: work(connection, *arguments, **options))
