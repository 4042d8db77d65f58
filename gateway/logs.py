"""The log: events to stderr as they happen, one access line per call to stdout in batches.

Both open on failure: a sink that does not take lines loses them, and the loop never waits for it.
"""

import json
import logging
import sys
from collections import deque
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

logger = logging.getLogger("gateway")

_MOST_WAITING = 10_000
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
"""A text line stays one line on every terminal, whatever its values hold."""

_encode = msgspec.json.Encoder().encode


def log_event(level: int, event: str, **fields: Any) -> None:
    """One event with its fields, such as `job ended`, `look failed`. Never pass a secret or a prompt."""
    logger.log(level, event, extra={"fields": fields})


class JSONFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339), level, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _timestamp(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            line["error"] = _where(record)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for a person: `12:00:00 INFO job ended request_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in getattr(record, "fields", {}).items())
        fault = f" error={_where(record)}" if record.exc_info and record.exc_info[0] else ""
        line = f"{_timestamp(record)[11:19]} {record.levelname} {record.getMessage()}{fields}{fault}"
        return line.translate(_CONTROLS)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _where(record: logging.LogRecord) -> str:
    """The exception's type and place, without its text: texts quote values, and values may be secrets."""
    assert record.exc_info is not None
    kind, _, trace = record.exc_info
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""
    return f"{kind.__name__ if kind else 'Exception'}{place}"


def configure(log_format: str, level: str, stream: IO[str] = sys.stderr) -> None:
    """Send the gateway's events to `stream`. Libraries stay silent below warnings: some log whole URLs."""
    as_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger.setLevel(level.upper())


class AccessLog:
    """Lines wait in memory and are written together by `flush`, which runs off the loop."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._waiting: deque[bytes] = deque()
        self.lost = 0

    def write(self, record: dict[str, Any]) -> None:
        """Queue one line; dropped and counted when the sink has not kept up."""
        if self._stream is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return
        self._waiting.append(_encode(record))

    def flush(self) -> None:
        """Write what waits. Called from one thread at a time; lines may go on coming meanwhile."""
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self._stream is None or not lines:
            return
        try:
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += len(lines)
