"""The ledger as the flows see it: every operation durable when it returns, whoever stopped waiting.

Instants are passed in as unix seconds, money is micro-USD. Every method raises LedgerUnavailable when the database
cannot be read or written; a write that raised it has changed nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from gateway.core.claims import Claim
from gateway.core.lifecycle import Outcome
from gateway.ledger import counters, jobs, refusals, reservations, retention, snapshots, usage
from gateway.ledger.engine import (
    FAULTS,
    READERS,
    LedgerUnavailable,
    ledger_url,
    prepare,
    reading_engine,
    unavailable,
    writing_engine,
)
from gateway.ledger.values import (
    Difference,
    Full,
    Job,
    NewReservation,
    OpenCounts,
    OpenJob,
    OpenReservation,
    OwnedByAnother,
    Owner,
    Placement,
    Refused,
    Reply,
    Reserved,
    Snapshot,
    UsageRow,
)
from gateway.ledger.writer import Writer

__all__ = ["Ledger", "LedgerUnavailable"]

P = ParamSpec("P")
T = TypeVar("T")
Timer = Callable[[str, float], None]

_CLOSED = "the ledger is closed"


class Ledger:
    """One process's hold on the ledger at `url`. `timed` is told each operation's name and seconds, as metrics do."""

    def __init__(self, url: str, timed: Timer | None = None) -> None:
        self._url = ledger_url(url)
        self._timed = timed
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reading: Engine | None = None

    async def open(self) -> None:
        """Check the file, bring its schema up to date, and begin. Raises LedgerUnavailable saying why not."""
        await asyncio.to_thread(prepare, self._url)
        self._reading = reading_engine(self._url)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-reader")
        self._writer = Writer(writing_engine(self._url))

    async def close(self) -> None:
        """Finish what was begun and let go of the file. A closed ledger is unavailable; closing again does nothing."""
        writer, self._writer = self._writer, None
        if writer is None or self._readers is None or self._reading is None:
            return
        await asyncio.to_thread(writer.stop)
        await asyncio.to_thread(self._readers.shutdown)
        self._reading.dispose()

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded. While it did not, one is made every second."""
        return self._writer is not None and self._writer.healthy

    async def reserve(self, new: NewReservation, now: float) -> Reserved:
        """Take every claim of a create or none, unless its idempotency key stands for an earlier one."""
        return await self._write("reserve", reservations.reserve, new, now)

    async def mark_sent(self, reservation_id: str, now: float) -> bool:
        """From here on upstream may have read the create. False if it is not `reserved` any more: do not send it."""
        return await self._write("mark_sent", reservations.mark_sent, reservation_id, now)

    async def place(self, placement: Placement, now: float) -> OwnedByAnother | None:
        """Upstream named the job: it is the reservation's for ever. A repeat changes nothing."""
        return await self._write("place", jobs.place, placement, now)

    async def release(self, reservation_id: str, now: float, reply: Reply | None) -> bool:
        """There is no job: every claim comes back. False if the reservation had already ended.

        `reply` is what a repeat with the same idempotency key is told; None lets a repeat execute anew.
        """
        return await self._write("release", reservations.release, reservation_id, now, reply)

    async def doubt(self, reservation_id: str, now: float, *, refused: bool = False) -> bool:
        """Nobody knows whether there is a job: everything stays claimed. False if it is not `sent`."""
        return await self._write("doubt", reservations.doubt, reservation_id, now, refused=refused)

    async def settle(
        self,
        request_id: str,
        outcome: Outcome,
        status: str,
        record: bytes | None,
        complete: bool,  # noqa: FBT001 - record and complete are one thing
        now: float,
    ) -> bool:
        """The job ended, with this last record (None keeps the one last seen). True for the one call that did it."""
        seen = jobs.Sighting(request_id, status, record, complete)
        return await self._write("settle", jobs.end, seen, outcome, now)

    async def observe(
        self,
        request_id: str,
        status: str,
        record: bytes,
        complete: bool,  # noqa: FBT001 - record and complete are one thing
        now: float,
    ) -> bool:
        """Keep what was last seen of a job that lives. False if there is none such."""
        return await self._write("observe", jobs.observe, jobs.Sighting(request_id, status, record, complete), now)

    async def postpone(self, request_id: str, next_look_at: float) -> None:
        """When the job is due next, if nobody asks for it before."""
        await self._write("postpone", jobs.postpone, request_id, next_look_at)

    async def take(self, claims: Iterable[Claim]) -> Full | None:
        """Take claims that no job holds (uploads), all or none: the first that does not fit is returned."""
        return await self._write("take", counters.take_directly, claims)

    async def give_back(self, claims: Iterable[Claim]) -> None:
        """Undo a `take` that came to nothing."""
        await self._write("give_back", counters.give_back, [(claim.counter, claim.amount) for claim in claims])

    async def take_ahead(self, counter: str, amount: int, ceiling: int, window_ends: float | None) -> tuple[int, int]:
        """As much of `amount` as fits below the ceiling, and the counter's value afterwards."""
        return await self._write("take_ahead", counters.take_ahead, counter, amount, ceiling, window_ends)

    async def give_ahead_back(self, counter: str, amount: int) -> None:
        """Return what was taken ahead and not used."""
        await self._write("give_ahead_back", counters.give_back, [(counter, amount)])

    async def save_snapshot(self, name: str, snapshot: Snapshot) -> None:
        """Keep an answer of upstream over restarts, unless a newer one is kept."""
        await self._write("save_snapshot", snapshots.save, name, snapshot)

    async def add_refusals(self, counts: Mapping[Refused, int]) -> None:
        """Add calls that were refused to those counted before."""
        await self._write("add_refusals", refusals.add, counts)

    async def purge(self, now: float) -> None:
        """Forget what is old enough, bite by bite, with others' operations in between."""
        while await self._write("purge", retention.purge, now):
            pass

    async def owner_of(self, request_id: str) -> Owner | None:
        """Whose job this is; None for an id nobody owns."""
        return await self._read("owner_of", jobs.owner_of, request_id)

    async def owned(self, request_ids: Sequence[str]) -> set[str]:
        """Those of the ids that are somebody's."""
        return await self._read("owned", jobs.owned, request_ids)

    async def job(self, request_id: str) -> Job | None:
        """One job with its last seen record."""
        return await self._read("job", jobs.job, request_id)

    async def list_jobs(
        self, team: str | None, model: str | None, limit: int, offset: int, status: str | None = None
    ) -> tuple[list[Job], int]:
        """Jobs that still have their record, newest first, and how many there are in all. None is any."""
        return await self._read("list_jobs", jobs.page, jobs.Listing(team, model, status, limit, offset))

    async def due_jobs(self, now: float, limit: int) -> list[OpenJob]:
        """Jobs that live and whose next look is due, the most overdue first."""
        return await self._read("due_jobs", jobs.due, now, limit)

    async def open_reservations(self, limit: int = 1000) -> list[OpenReservation]:
        """Reservations without a job (reserved, sent, unknown), oldest first."""
        return await self._read("open_reservations", reservations.open_reservations, limit)

    async def used(self, names: Sequence[str]) -> dict[str, int]:
        """What is used of each counter; 0 for one nobody has used."""
        return await self._read("used", counters.values_of, names)

    async def usage(self, team: str | None, starts: float, ends: float) -> list[UsageRow]:
        """Usage by team, key and model: creates admitted and calls refused from `starts` until before `ends`."""
        return await self._read("usage", usage.usage, team, starts, ends)

    async def open_counts(self) -> OpenCounts:
        """What is under way right now, for metrics."""
        return await self._read("open_counts", usage.open_counts)

    async def load_snapshot(self, name: str) -> Snapshot | None:
        """The answer kept under this name."""
        return await self._read("load_snapshot", snapshots.load, name)

    async def verify(self) -> list[Difference]:
        """Every counter that is not the sum of what its reservations must hold. Empty unless something is wrong."""
        return await self._read("verify", usage.verify)

    async def _write(
        self, name: str, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Do `work` on the writing thread. It is done even if the caller goes away."""
        if self._writer is None:
            raise LedgerUnavailable(_CLOSED)
        with self._measured(name):
            return await self._writer.write(lambda connection: work(connection, *arguments, **options))

    async def _read(
        self, name: str, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Do `work` on a reading thread, in a snapshot of one instant."""
        readers, engine = self._readers, self._reading
        if self._writer is None or readers is None or engine is None:
            raise LedgerUnavailable(_CLOSED)

        def read() -> T:
            try:
                with engine.begin() as connection:
                    return work(connection, *arguments, **options)
            except FAULTS as error:
                raise unavailable(error) from error

        with self._measured(name):
            return await asyncio.get_running_loop().run_in_executor(readers, read)

    @contextmanager
    def _measured(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            if self._timed is not None:
                self._timed(name, time.perf_counter() - began)
