"""What is asked, as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.load import Ask
from tests.bench.ours import Job
from tests.bench.upstream import Kind

Asks = Callable[[Sequence[Job], Sequence[str]], list[Ask]]
"""From the live jobs and all keys to the requests that are asked in turn."""

FEW = 5
"""Jobs that the many pollers of a shared poll ask for."""

LARGE = 4
"""MiB of a large create."""


def _listings(_: Sequence[Job], keys: Sequence[str]) -> list[Ask]:
    return [Ask("GET", "/models", key) for key in keys]


def _few_polls(jobs: Sequence[Job], _: Sequence[str]) -> list[Ask]:
    return _all_polls(jobs[:FEW], ())


def _all_polls(jobs: Sequence[Job], _: Sequence[str]) -> list[Ask]:
    return [Ask("GET", f"/requests/{job.id}", job.key) for job in jobs]


def _creates(_: Sequence[Job], keys: Sequence[str]) -> list[Ask]:
    return [Ask("POST", "/requests", key) for key in keys]


def _large_creates(_: Sequence[Job], keys: Sequence[str]) -> list[Ask]:
    return [Ask("POST", "/requests", key, LARGE) for key in keys[:4]]


@dataclass(frozen=True)
class Scenario:
    """One kind of work, at so many connections, beside these peers.

    One that `forwards` is worth something only if each of its requests goes upstream: it needs more live `jobs` than
    are asked in a second. One that is `fresh` gets a new gateway each round, because its jobs would pile up; that
    one's ledger may be `postgresql`. Each round that is asked for is so many `rounds` of it.
    """

    name: str
    title: str
    asks: Asks
    peers: tuple[str, ...]
    connections: int = 32
    kind: Kind = Kind.PLAIN
    jobs: int = FEW
    forwards: bool = False
    fresh: bool = False
    postgresql: bool = False
    rounds: int = 1


_ALL = ("nginx", "envoy", "caddy", "litellm", "portkey")
_COMPILED = ("nginx", "envoy", "caddy")
_PAIR = ("nginx", "envoy")
_MANY = 20_000

SCENARIOS = (
    Scenario("listing", "cached listing", _listings, _ALL),
    Scenario("shared", "shared poll", _few_polls, _COMPILED),
    Scenario(
        "poll-1", "forwarded poll, 1 connection", _all_polls, _COMPILED, connections=1, jobs=10_000, forwards=True
    ),
    # Four aims are about this one, and on a busy machine few rounds tell little.
    Scenario("poll", "forwarded poll", _all_polls, _ALL, jobs=_MANY, forwards=True, rounds=3),
    Scenario(
        "poll-256",
        "forwarded poll, 256 connections",
        _all_polls,
        _COMPILED,
        connections=256,
        jobs=_MANY,
        forwards=True,
    ),
    Scenario("create-1", "create, 1 client", _creates, (*_PAIR, "litellm"), connections=1, fresh=True),
    Scenario("create-8", "create, 8 clients", _creates, (*_PAIR, "litellm"), connections=8, fresh=True),
    Scenario("create-64", "create, 64 clients", _creates, (*_PAIR, "litellm"), connections=64, fresh=True),
    Scenario(
        "create-64-postgresql",
        "create, 64 clients, PostgreSQL",
        _creates,
        (),
        connections=64,
        fresh=True,
        postgresql=True,
    ),
    Scenario("large", "create of 4 MiB", _large_creates, _PAIR, fresh=True),
    Scenario("slow", "forwarded poll, upstream 20 ms", _all_polls, _PAIR, kind=Kind.SLOW, jobs=4_000, forwards=True),
    Scenario("tls", "forwarded poll, upstream TLS", _all_polls, _COMPILED, kind=Kind.TLS, jobs=_MANY, forwards=True),
)

QUICK = ("listing", "shared", "poll", "create-8")
"""What `--quick` runs, beside nginx alone."""
