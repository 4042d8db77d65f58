"""GMI without a network, for tests that step through thousands of cases: what it made is known exactly.

A prompt begins with the name of the team that asked for it. What becomes of a create is told beforehand.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx

from gateway.upstream.dialing import Origin
from gateway.upstream.outgoing import Outgoing
from gateway.upstream.repeats import Repeats
from gateway.upstream.reply import Reply, Stage
from tests.conftest import REAL_KEY
from tests.fake_upstream import Q
from tests.faults.conftest import _HEADERS, _TARGETS
from tests.scripted_upstream import response

MODELS = ("small", "large")


@dataclass
class Made:
    """A job, and the X-Request-ID of the create that made it. Records of one that does not echo have no payload."""

    request_id: str
    name: str
    body: dict[str, Any]
    created_at: int
    echoes: bool
    status: str = "queued"

    @property
    def team(self) -> str:
        return str(self.body["payload"]["prompt"].partition(" ")[0])

    @property
    def record(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "model": self.body["model"],
            "status": self.status,
            "payload": self.body["payload"] if self.echoes else {},
            "outcome": None,
            "created_at": self.created_at,
        }


class PretendedUpstream:
    """`outcome` is what becomes of the next create; one that is `held` waits for its entry there.

    `stolen` is the id that a create with this outcome is answered, which is another job's.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.outcome = "ok"
        self.echoes = True
        self.stolen = ""
        self.jobs: dict[str, Made] = {}
        self.posts: Counter[str] = Counter()
        self.held: dict[str, asyncio.Future[str]] = {}
        self.arrived = asyncio.Event()
        self.bodies: dict[str, dict[str, Any]] = {}

    def take(self, _origin: Origin) -> None:
        """No connection is ever idle."""

    async def connect(self, _origin: Origin, _patience: float) -> "PretendedUpstream":
        """Every call has a connection at once."""
        return self

    async def ask(self, request: Outgoing) -> Reply:
        """As `begin`, until the head of the answer has come."""
        reply = self.begin(request.head)
        while reply.stage is Stage.HEAD:
            await reply.more()
        reply.raise_failure()
        return reply

    def begin(self, request: bytes, **_options: bool) -> Reply:
        """One call, whose shape is checked. It is answered at once, unless it is held."""
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        headers = dict(pairs)
        assert _TARGETS.fullmatch(target), target
        assert set(headers) <= _HEADERS
        assert len(headers) == len(pairs)
        assert headers["authorization"] == f"Bearer {REAL_KEY}"
        reply = Reply(self, Repeats())
        if method == "POST":
            self._create(reply, headers["x-request-id"], body)
        else:
            reply.feed(self._read(target))
        return reply

    def pause(self) -> None:
        """Nothing is under way that could be halted."""

    resume = close = pause

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _read(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        match path.removeprefix(f"{Q}/").split("/"):
            case ["models"]:
                return _json({"model_ids": MODELS})
            case ["models", model]:
                return _json({"model": model, "parameters": []})
            case ["requests"]:
                asked = dict(parse_qsl(query))
                first, count = int(asked["offset"]), int(asked["limit"])
                newest = [job.record for job in reversed(self.jobs.values())]
                return _json({"requests": newest[first : first + count], "has_more": len(newest) > first + count})
            case ["requests", request_id] if request_id in self.jobs:
                return _json(self.jobs[request_id].record)
        return _json({"error": "not found"}, 404)

    def _create(self, reply: Reply, name: str, body: bytes) -> None:
        self.posts[name] += 1
        self.bodies[name] = json.loads(body)
        if self.outcome != "held":
            self._answer(reply, name, self.outcome)
            return
        held = self.held[name] = asyncio.get_running_loop().create_future()
        held.add_done_callback(lambda told: None if told.cancelled() else self._answer(reply, name, told.result()))
        self.arrived.set()

    def _answer(self, reply: Reply, name: str, outcome: str) -> None:
        try:
            reply.feed(self._come_to(name, outcome))
        except httpx.TransportError as failure:
            reply.fail(failure)

    def _come_to(self, name: str, outcome: str) -> bytes:
        match outcome:
            case "ok" | "done":
                return _json(self.make(name, "success" if outcome == "done" else "queued").record)
            case "unsent":
                raise httpx.ConnectError("refused")
            case "lost":
                raise httpx.ReadError("reset")
            case "lost-made":
                self.make(name)
                raise httpx.ReadError("reset")
            case "late-made":
                self.make(name)
                raise httpx.ReadTimeout("too late")
            case "no-id":
                self.make(name)
                return _json({"request_id": "../..", "status": "queued"})
            case "stolen":
                return _json({"request_id": self.stolen, "status": "queued"})
            case "400" | "402" | "503":
                return _json({"error": "no"}, int(outcome))
            case "504":
                self.make(name)
                return _json({"error": "edge"}, 504)
        raise AssertionError(outcome)

    def make(self, name: str, status: str = "queued") -> Made:
        """The job of a create, whether anybody hears of it or not."""
        made = Made(str(uuid4()), name, self.bodies[name], int(self._now()), self.echoes, status)
        self.jobs[made.request_id] = made
        return made


def _json(value: object, status: int = 200) -> bytes:
    return response(json.dumps(value).encode(), f"{status} As-It-Is")
