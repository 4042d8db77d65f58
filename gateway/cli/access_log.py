"""The access log as `replay` reads it: calls and the ends of jobs, in the order they were written down.

A line is what the gateway itself wrote: an access line from stdout, or an event from stderr, in one file or in several.
Whatever else stands between them is counted and left alone.
"""

import gzip
import heapq
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.cli.invocation import CannotRunError
from gateway.core.lifecycle import ACCEPTED, Outcome
from gateway.core.money import parse_usd

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Asked:
    """One call with a valid key, which came at `instant` and was written down at `written`, once it was answered.

    `is_create` also for one that was refused before its model was known. `usd` in micro-USD is None where the line has
    no price; `job` is the id it became.
    """

    instant: float
    written: float
    team: str
    key: str
    is_create: bool
    status: int
    model: str
    code: str
    usd: int | None
    seconds: int
    job: str
    replayed: bool

    @property
    def was_placed(self) -> bool:
        """Whether it became a job."""
        return self.is_create and self.status in ACCEPTED and not self.replayed


@dataclass(frozen=True, slots=True)
class Ended:
    """A job ended."""

    written: float
    job: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Unread:
    """A line that is nothing of the gateway's log."""

    written: float = 0.0


@dataclass(frozen=True, slots=True)
class Other:
    """A line of the log that says nothing of use here: a call without a valid key, another event."""

    written: float = 0.0


Entry = Asked | Ended | Other | Unread


class _Line(msgspec.Struct):
    time: str
    event: str = ""
    request_id: str = ""
    outcome: str = ""
    method: str = ""
    route: str = ""
    status: int = 0
    ms: float = 0.0
    team: str = ""
    key: str = ""
    model: str = ""
    code: str = ""
    usd: int | float | None = None
    seconds: int = 0
    job: str = ""
    replayed: bool = False


_EARLIEST, _LATEST = 0.0, 253_370_764_800.0
"""1970 and 9999-01-01, between which every window of a limit can be told."""

_decode = msgspec.json.Decoder(_Line).decode


@contextmanager
def open_log(name: str) -> Iterator[Iterable[bytes]]:
    """The log's lines, inflated where it is gzip; `-` is stdin. Raises CannotRunError, also from within."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            assert isinstance(file, io.BufferedReader)
            yield gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise CannotRunError(f"{name} cannot be read: {reason or error}") from None


def read_logs(names: Iterable[str]) -> Iterator[Entry]:
    """What the lines of these files say, told by the times they were written; within a file in its own order.

    Raises CannotRunError. Nothing is kept: a log may be larger than the memory.
    """
    with ExitStack() as stack:
        logs = [read_entries(stack.enter_context(open_log(name))) for name in names]
        yield from heapq.merge(*logs, key=lambda entry: entry.written)


def read_entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """What each line says. Empty ones say nothing."""
    for line in lines:
        if line.strip():
            yield _entry(line)


def _entry(line: bytes) -> Entry:
    try:
        read = _decode(line)
        written = datetime.fromisoformat(read.time).timestamp()
        usd = None if read.usd is None else parse_usd(read.usd)
        instant = written - read.ms / 1000
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError, RecursionError):
        return Unread()
    can_be_told = _EARLIEST <= min(instant, written) <= max(instant, written) <= _LATEST
    if not can_be_told or not (read.event or read.route):
        return Unread()
    if read.event == "job ended" and read.outcome in list(Outcome):
        return Ended(written, read.request_id, Outcome(read.outcome))
    if read.event:
        return Other()
    if not read.team or not read.key:
        return Other()
    return Asked(
        instant=instant,
        written=written,
        team=read.team,
        key=read.key,
        is_create=(read.method, read.route) == ("POST", "/requests"),
        status=read.status,
        model=read.model,
        code=read.code,
        usd=usd,
        seconds=read.seconds,
        job=read.job,
        replayed=read.replayed,
    )
