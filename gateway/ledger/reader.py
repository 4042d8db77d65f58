"""The ledger as commands read it: one snapshot, nothing created and nothing migrated, beside a gateway that runs."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.ledger import counters, deliveries, snapshots, usage
from gateway.ledger.delivery_values import DeliveryState, Wanted
from gateway.ledger.engine import Backend, backend_of, ledger_url
from gateway.ledger.faults import FAULTS, LedgerUnavailable, unavailable
from gateway.ledger.migrate import HEAD, KNOWN, SUCCESSOR, version_of
from gateway.ledger.schema import jobs
from gateway.ledger.values import Durability, Snapshot, UsageRow, Wrong


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """What the ledger held at one instant. The methods are those of `Ledger`, without waiting."""

    connection: Connection
    backend: Backend

    def used(self, names: Sequence[str]) -> dict[str, int]:
        """What is used of each counter; 0 for one nobody has used."""
        return counters.values_of(self.connection, names)

    def usage(self, team: str | None, starts: float, ends: float) -> list[UsageRow]:
        """Usage by team, key and model: creates admitted and calls refused from `starts` until before `ends`."""
        return usage.usage(self.connection, team, starts, ends)

    def teams(self) -> set[str]:
        """Every team that made a create or had a call refused."""
        return usage.teams(self.connection)

    def snapshot(self, name: str) -> Snapshot | None:
        """The answer of upstream kept under this name."""
        return snapshots.load(self.connection, name)

    def deliveries(self, wanted: Wanted) -> tuple[list[DeliveryState], int]:
        """Deliveries, newest first, and how many there are in all."""
        return deliveries.page(self.connection, wanted)

    def verify(self, at_most: int | None = None) -> list[Wrong]:
        """Every counter, or of `at_most` so many, that is not the sum of what its reservations must hold.

        And every job that none of them placed.
        """
        return usage.verify(self.connection, at_most)

    def counted(self) -> int:
        """How many counters `verify` adds up again."""
        return usage.counted(self.connection)

    def unknown_jobs(self, request_ids: Collection[str]) -> set[str]:
        """Those of these jobs of upstream that are nobody's here."""
        known = select(jobs.c.request_id).where(jobs.c.request_id.in_(request_ids))
        return set(request_ids) - set(self.connection.scalars(known))

    def durability(self) -> Durability:
        """Whether what is committed survives a power cut."""
        return self.backend.durability(self.connection)

    def instant(self) -> float | None:
        """The database's own clock, where that is not this machine's."""
        return None if self.backend.instant is None else self.backend.instant(self.connection)


def ledger_exists(url: str) -> bool:
    """Whether there is a ledger at the URL. Raises LedgerUnavailable for a URL without one, or no answer."""
    parsed = ledger_url(url)
    return backend_of(parsed).exists(parsed)


@contextmanager
def read_ledger(url: str) -> Iterator[LedgerReader]:
    """The ledger at `url`. Raises LedgerUnavailable, also from within, where it cannot be read by this version."""
    parsed = ledger_url(url)
    backend = backend_of(parsed)
    name = backend.name_of(parsed)
    if not backend.exists(parsed):
        raise LedgerUnavailable(f"there is no ledger at {name}: point to it with --ledger")
    engine = backend.inspecting_engine(parsed)
    try:
        with engine.begin() as connection:
            found = version_of(connection)
            if found is None:
                raise LedgerUnavailable(f"{name} holds no ledger: put the ledger back, or point to it with --ledger")
            if found not in (HEAD, SUCCESSOR):
                remedy = "run `gmi-gateway ledger migrate`" if found in KNOWN else "upgrade the gateway"
                raise LedgerUnavailable(f"{name} has schema {found}, not {HEAD}: {remedy}")
            yield LedgerReader(connection, backend)
    except FAULTS as error:
        raise LedgerUnavailable(f"{name} cannot be read: {unavailable(error)}") from error
    finally:
        engine.dispose()
