"""What arrived here: the evidence a test has of what a gateway sent, without a secret in it."""

import hashlib
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTROL_PREFIX = b"/simulator/"
KEPT = 10_000


@dataclass
class Entry:
    """One received request. Names and digests only: never a credential, a query value or a body."""

    method: str
    path: str
    """The raw path, as sent, without the query."""

    query: list[str]
    """Names of the query parameters."""

    headers: list[str]
    """Header names in lower case, in order, repeated as sent."""

    authorization_sha256: str | None
    operation: str = "other"
    key_accepted: bool = False
    """Whether the one Authorization header carried an accepted key."""

    body_bytes: int = 0
    """How much of the body was read; the digest is of that part."""

    body_sha256: str = hashlib.sha256().hexdigest()


@dataclass
class Journal:
    """The latest requests, and how many came per operation since the start or the last `clear`."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=KEPT))
    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry) -> None:
        """Keep one more request; the oldest beyond 10 000 goes."""
        self.entries.append(entry)
        self.total += 1

    def name(self, entry: Entry, operation: str) -> None:
        """Say which operation a request turned out to be."""
        entry.operation = operation
        self.counts[operation] += 1

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self.counts.clear()
        self.total = 0

    def report(self) -> dict[str, Any]:
        """The journal as JSON values."""
        return {
            "total": self.total,
            "counts": dict(self.counts),
            "requests": [asdict(entry) for entry in self.entries],
        }


class RecordRequests:
    """ASGI middleware: an entry for each request, found by its endpoint as `request.state.entry`."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self.app = app
        self.journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"].startswith(CONTROL_PREFIX):
            await self.app(scope, receive, send)
            return
        entry = _entry_of(scope)
        self.journal.add(entry)
        scope["state"]["entry"] = entry
        digest = hashlib.sha256()

        async def receive_and_digest() -> Message:
            message = await receive()
            body: bytes = message.get("body", b"")
            digest.update(body)
            entry.body_bytes += len(body)
            entry.body_sha256 = digest.hexdigest()
            return message

        await self.app(scope, receive_and_digest, send)


def _entry_of(scope: Scope) -> Entry:
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    return Entry(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=[name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)],
        headers=[name.decode("latin-1") for name, _ in scope["headers"]],
        authorization_sha256=None if authorization is None else hashlib.sha256(authorization).hexdigest(),
    )
