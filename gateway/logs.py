"""The log: events to stderr as they happen, one access line per call to stdout in batches.

Both open on failure: a sink that takes no lines, such as a pipe nobody reads, loses them. Only a thread of its own
waits for it; neither the loop nor the end of the process does.
"""

import json
import logging
import os
import stat
import sys
import threading
import time
import traceback
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import IO, Any

import msgspec

logger = logging.getLogger("gateway")

BATCH_SECONDS = 0.25
"""How long access lines wait for more: one by one, each would cost its call a change of threads."""

FLUSH_SECONDS = 1.0
"""The longest that anything waits for a sink, and only when the process ends."""

EVENTS = "events"
"""What the log calls itself."""

_MOST_WAITING = 10_000
_RETRY_SECONDS = 0.05
_POLL_SECONDS = 0.002
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
"""A text line stays one line on every terminal, whatever its values hold."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def log_event(level: int, event: str, **fields: Any) -> None:
    """One event with its fields, such as `job ended`, `look failed`. Never pass a secret or a prompt."""
    if logger.isEnabledFor(level):
        record = logging.LogRecord(logger.name, level, "", 0, event, (), None)  # no search for who called: it is known
        record.fields = fields
        logger.handle(record)


class JSONFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339), level, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _timestamp(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1]:
            line["error"] = place_of(record.exc_info[1])
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for a person: `12:00:00 INFO job ended request_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in getattr(record, "fields", {}).items())
        fault = f" error={place_of(record.exc_info[1])}" if record.exc_info and record.exc_info[1] else ""
        line = f"{_timestamp(record)[11:19]} {record.levelname} {record.getMessage()}{fields}{fault}"
        return line.translate(_CONTROLS)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def place_of(fault: BaseException) -> str:
    """An exception's type and the last place of the gateway's own that it came through, such as
    `TypeError at gateway.polling.poll:73`.

    Without its text: texts quote values, and values may be secrets.
    """
    place = ""
    for frame, line in traceback.walk_tb(fault.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if not place or module.partition(".")[0] == logger.name:
            place = f" at {module}.{frame.f_code.co_name}:{line}"
    return f"{type(fault).__name__}{place}"


class Spool:
    """Lines on their way to one stream, written by a thread of its own; who adds one never waits.

    `name` is what the log calls it when lines were lost. Lines wait `pause` seconds for more.
    """

    def __init__(self, stream: IO[bytes], name: str, pause: float = 0.0) -> None:
        # Without its buffer: the lock of one would hold up the end of the interpreter for as long as the sink blocks.
        self._sink = getattr(stream, "raw", stream)
        self._most_at_once = PIPE_BUF if _may_tear(self._sink) else sys.maxsize
        self._name = name
        self._pause = pause
        self._waiting: list[bytes] = []
        self._added = threading.Event()
        self._hurried = threading.Event()
        self._writing = False
        self._closed = False
        self._failing = name == EVENTS  # of its own failing the log can tell nobody
        self.lost = 0
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def add(self, line: bytes) -> None:
        """Queue one line, without its end; dropped and counted when the sink has not kept up."""
        if len(self._waiting) >= _MOST_WAITING:
            self._lose(1)
            return
        self._waiting.append(line)
        if not self._added.is_set():
            self._added.set()

    def flush(self) -> None:
        """Wait until what was added is written, at most `FLUSH_SECONDS`."""
        deadline = time.monotonic() + FLUSH_SECONDS
        self._hurried.set()
        while (self._waiting or self._writing) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._hurried.clear()

    def close(self) -> None:
        """Let the thread end once it has written what waits."""
        self._closed = True
        self._hurried.set()
        self._added.set()

    def _run(self) -> None:
        told = 0
        while not (self._closed and not self._waiting):
            self._added.wait()
            self._hurried.wait(self._pause)
            self._writing = True
            self._added.clear()
            written = True
            waiting = self._waiting[:]
            del self._waiting[: len(waiting)]  # more may have come behind them
            for lines in _portions(b"\n".join([*waiting, b""]), self._most_at_once):
                written = self._write(lines) and written
            if written and self.lost > told:
                log_event(logging.WARNING, "log lines lost", log=self._name, count=self.lost - told)
                told = self.lost
                self._failing = self._name == EVENTS
            self._writing = False

    def _write(self, lines: bytes) -> bool:
        rest = memoryview(lines)
        try:
            while rest:
                size = self._sink.write(rest)
                if size is None:  # another process made the pipe one that does not block
                    time.sleep(_RETRY_SECONDS)
                else:
                    rest = rest[size:]
        except (OSError, ValueError):
            self._lose(bytes(rest).count(b"\n"))
            return False
        return True

    def _lose(self, count: int) -> None:
        """Count lines as lost. The first are told at once; that events are, only once they are taken again."""
        self.lost += count
        if not self._failing:
            self._failing = True
            log_event(logging.WARNING, "log cannot be written", log=self._name)


def _may_tear(sink: IO[bytes]) -> bool:
    """Whether writes to the sink may come in pieces. What goes to a file stays together (write(2))."""
    try:
        return not stat.S_ISREG(os.fstat(sink.fileno()).st_mode)
    except (OSError, ValueError):  # it is in memory, or closed
        return False


def _portions(text: bytes, most: int) -> Iterator[bytes]:
    """As many lines at a time as the sink takes in one piece of so many bytes: other workers may write to it as well.

    Each is a change of threads, so they are no more than that takes.
    """
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + most) + 1 or text.find(b"\n", start) + 1
        yield text[start:end]
        start = end


class SpoolHandler(logging.Handler):
    """Events into a spool."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._spool = Spool(stream, EVENTS)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the event."""
        self._spool.add(self.format(record).encode(errors="replace"))

    def flush(self) -> None:
        """Wait for the sink, for a moment."""
        self._spool.flush()

    def close(self) -> None:
        """Let go of the sink."""
        self._spool.close()
        super().close()


def configure(log_format: str, level: str, stream: IO[bytes] | None = None, *, at_once: bool = False) -> None:
    """Send the gateway's events to `stream`, else stderr. Libraries stay silent below warnings: some log whole URLs.

    `at_once` writes each to stderr as it happens, without a thread, for a process that forks.
    """
    sink = sys.stderr.buffer if stream is None else stream
    as_json = log_format == "json" or (log_format == "auto" and not sink.isatty())
    handler = logging.StreamHandler() if at_once else SpoolHandler(sink)
    handler.setFormatter(JSONFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, SpoolHandler):
            former.flush()  # one's last line comes before the other's first
            former.close()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger.setLevel(level.upper())


class AccessLog:
    """One line per call; without a stream, none."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._spool = None if stream is None else Spool(stream, "access log", BATCH_SECONDS)

    @property
    def lost(self) -> int:
        """Lines that the sink did not take."""
        return 0 if self._spool is None else self._spool.lost

    def write(self, record: Any) -> None:
        """Queue one line, whatever is an object in JSON."""
        if self._spool is not None:
            self._spool.add(_encode(record))

    def flush(self) -> None:
        """Wait until what was queued is written, for a moment at most."""
        if self._spool is not None:
            self._spool.flush()

    def close(self) -> None:
        """Write what waits and take no more."""
        if self._spool is not None:
            self._spool.flush()
            self._spool.close()


class Seldom:
    """What happens to many, at any rate, and is worth a line once a minute for each.

    Of no more than a thousand: clients can make names up.
    """

    def __init__(self, every: float = 60.0, most: int = 1000) -> None:
        self._every = every
        self._most = most
        self._said: dict[Hashable, float] = {}

    def may_say(self, what: Hashable, ticks: float) -> bool:
        """Whether it was not said within the last minute. Then it is said now, on the clock of `ticks`."""
        while self._said and ticks - next(iter(self._said.values())) >= self._every:
            del self._said[next(iter(self._said))]
        if what in self._said or len(self._said) >= self._most:
            return False
        self._said[what] = ticks
        return True
