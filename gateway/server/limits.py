"""How much and how long a client may send, and how many may be connected."""

import resource
from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The bounds of one listener. Sizes in bytes, durations in seconds."""

    target_bytes: int = 8 * KIB
    """The longest request target, path and query together; above it 414 `uri_too_long`."""
    header_count: int = 100
    """Header fields of one request; above it 431 `headers_too_large`."""
    header_bytes: int = 32 * KIB
    """All header lines of one request, 4 bytes per line for colon, space and line end; above it 431."""
    chunk_overhead_bytes: int = 16 * KIB
    """Chunk sizes, extensions and trailers beyond what chunks of this many data bytes need; above it 431."""
    header_seconds: float = 10
    """From the first byte of a request, or from the connection, to the end of its head; absolute."""
    body_seconds: float = 30
    """The credit a body starts with and can never exceed: so long may it stall."""
    body_bytes_per_second: float = KIB
    """The rate at which arriving body bytes earn that credit back."""
    first_seconds: float = 1
    """At a drain's end, how long after it connected a client may still bring its first request, or begin TLS."""
    idle_seconds: float = 75
    """A kept-alive connection without a request is closed after this long."""
    write_seconds: float = 60
    """A client that takes nothing of what is written for it is cut off after this long."""
    linger_seconds: float = 1
    """After an early refusal, how long the rest of the request is read and thrown away."""
    linger_bytes: int = 1536 * KIB
    """… and how much of it."""
    connections: int = 10_000
    """Connections of this listener; for one more an idle one is closed, or it is. Lowered to what the open-file limit
    allows."""
    sweep_seconds: float = 0.5
    """How often deadlines are looked at: they are kept this exactly."""


def connection_cap(asked: int, open_files: int) -> int:
    """The connections a process with this open-file limit can take: at most half its descriptors.

    The other half is for upstream, the ledger and the policies, which must not fail because clients are many.
    """
    return min(asked, max(1, open_files // 2))


def raise_open_files() -> int:
    """Raise this process's open-file limit as far as it may, and return it.

    The usual soft limit of 1024 is there for programs that use select(); this one does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def open_files() -> int:
    """This process's present open-file limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
