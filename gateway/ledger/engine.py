"""The databases a ledger can live in. What differs between them is told here and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from gateway.ledger import sqlite
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.operation import Writing
from gateway.ledger.readers import Readers
from gateway.ledger.turn import Turn
from gateway.ledger.values import Durability
from gateway.ledger.writer import Writer

WANTED = "the ledger must be given as sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of database.

    `prepare` makes it fit for use or raises LedgerUnavailable, `exists` says whether a ledger is there already, and
    `name_of` is what messages call it. `inspecting_engine` is for commands, which read as long as it takes; a gateway
    has `readers` and `writer`. `instant` reads the clock that decides, None where it is this machine's. `durability`
    says whether a commit survives a power cut.
    """

    prepare: Callable[[URL], None]
    exists: Callable[[URL], bool]
    name_of: Callable[[URL], str]
    inspecting_engine: Callable[[URL], Engine]
    readers: Callable[[URL], Readers]
    writer: Callable[[URL], Writing]
    instant: Callable[[Connection], float] | None
    durability: Callable[[Connection], Durability]


def _sqlite() -> Backend:
    return Backend(
        sqlite.prepare,
        sqlite.exists,
        sqlite.name_of,
        sqlite.reading_engine,
        lambda url: Readers(sqlite.reading_engine(url), None),
        lambda url: Writer(sqlite.writing_engine(url), Turn(sqlite.name_of(url), sqlite.BUSY_TIMEOUT)),
        None,
        sqlite.durability,
    )


def _postgresql() -> Backend:
    # By name, because a gateway on SQLite has no use for it.
    postgresql, writers = map(import_module, ("gateway.ledger.postgresql", "gateway.ledger.writers"))
    return Backend(
        postgresql.prepare,
        postgresql.exists,
        postgresql.name_of,
        postgresql.inspecting_engine,
        lambda url: Readers(postgresql.reading_engine(url), postgresql.PATIENCE),
        lambda url: writers.Writers(postgresql.writing_engine(url)),
        postgresql.instant,
        postgresql.durability,
    )


_BACKENDS = {"sqlite": _sqlite, "postgresql": _postgresql}


def ledger_url(text: str) -> URL:
    """The ledger's parsed URL. Raises LedgerUnavailable for one that names neither a file nor a server's database."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise LedgerUnavailable(WANTED) from None
    if url.get_backend_name() not in _BACKENDS or url.database in (None, "", ":memory:"):
        raise LedgerUnavailable(WANTED)
    if url.get_backend_name() == "sqlite" and url.query:  # such as mode=memory: another database each time
        raise LedgerUnavailable(WANTED)
    return url


def backend_of(url: URL) -> Backend:
    """The backend of a URL that `ledger_url` parsed."""
    return _BACKENDS[url.get_backend_name()]()
