"""A load of creates of every outcome, gateways killed at random instants under it, and what must be true all along.

Upstream is the truth: it knows which jobs there are and whose create made each. The ledger has to come to the same.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx
from sqlalchemy.exc import DBAPIError

from tests.conftest import Client
from tests.fake_upstream import Q
from tests.faults.unruly import CREATE, UnrulyUpstream
from tests.ledger.samples import run_sql
from tests.scripted_upstream import Connection, Received, response
from tests.served import Served, eventually
from tests.site import Site, children_of

PRICE = 100_000
SLOTS = 20
TEAMS = {"red": "key-of-red", "blue": "key-of-blue"}
OUTCOMES = {
    "ok": 10,
    "done": 2,
    "slow": 4,
    "400": 1,
    "400-kept": 1,
    "429": 1,
    "500-kept": 1,
    "503": 1,
    "504-made": 1,
    "reset-unread": 1,
    "reset-read": 1,
    "reset-made": 2,
}
"""What upstream does with a create, and how often."""


class TrueUpstream(UnrulyUpstream):
    """Upstream with a mind of its own. A job lives for a moment, then two in three succeed."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice = dice
        self.posts: Counter[str] = Counter()
        """By the X-Request-ID that a client's create came with: how often it was sent."""
        self.wrongs: list[str] = []
        self.scripts[CREATE] = self._take

    async def _take(self, connection: Connection) -> None:
        request = connection.requests[-1]
        self.posts[str(request.header("x-request-id"))] += 1
        (how,) = self.dice.choices(list(OUTCOMES), list(OUTCOMES.values()))
        if how == "slow":
            await asyncio.sleep(self.dice.uniform(0.1, 0.8))
        made = self._make(request, how) if how not in ("400", "429", "503", "reset-unread", "reset-read") else {}
        if how.startswith("reset"):
            connection.reset()
        else:
            await connection.send(_answer(how, made))
            connection.writer.close()

    def _make(self, request: Received, how: str) -> dict[str, Any]:
        """The job that comes of the create."""
        body = json.loads(request.body)
        short = self._create(body)
        job = self.jobs[short["request_id"]]
        job["ends_at"] = time.monotonic() + self.dice.uniform(0.1, 1.0)
        job["outcome_to_be"] = "failed" if how.endswith("-kept") else self.dice.choice(["success", "success", "failed"])
        job["forgiven"] = how == "400-kept"
        if how in ("done", "400-kept", "500-kept"):
            job["ends_at"] = 0.0
        self._check_slots(body["payload"]["prompt"].split()[0])
        return self._shown(job) if how == "done" else short | {"status": self._shown(job)["status"]}

    def _check_slots(self, team: str) -> None:
        living = sum(self._shown(job)["status"] == "queued" for job in self.of(team))
        if living > SLOTS:
            self.wrongs.append(f"{living} jobs of {team} at once")

    def of(self, team: str) -> list[dict[str, Any]]:
        """The jobs that creates of the team made."""
        return [job for job in self.jobs.values() if job["payload"]["prompt"].split()[0] == team]

    def _shown(self, job: dict[str, Any]) -> dict[str, Any]:
        if time.monotonic() >= job["ends_at"]:
            job["status"] = job["outcome_to_be"]
        return {name: value for name, value in job.items() if name not in ("ends_at", "outcome_to_be", "forgiven")}

    def _result(self, request: Received) -> dict[str, Any] | None:
        path, _, query = request.target.partition("?")
        if (request.method, path) != ("GET", f"{Q}/requests"):
            result = super()._result(request)
            return self._shown(result) if result is not None and "ends_at" in result else result
        asked = dict(parse_qsl(query))
        first, count = int(asked["offset"]), int(asked["limit"])
        newest = [self._shown(job) for job in reversed(self.jobs.values())]
        more = len(newest) > first + count
        return {"requests": newest[first : first + count], "has_more": more, "total": len(newest)}


def _answer(how: str, made: dict[str, Any]) -> bytes:
    status, body = {
        "400": ("400 Bad Request", {"error": "moderated"}),
        "400-kept": ("400 Bad Request", {"error": "moderated", "request_id": made.get("request_id")}),
        "429": ("429 Too Many Requests", {"error": "slow down", "rate_limit": {"retry_after_ms": 1000}}),
        "500-kept": ("500 Internal Server Error", {"error": "Backend error (400)"}),
        "503": ("503 Service Unavailable", {"error": "full"}),
        "504-made": ("504 Gateway Timeout", {"error": "edge"}),
    }.get(how, ("200 OK", made))
    return response(json.dumps(body).encode(), status, "Connection: close")


@dataclass
class Campaign:
    """Two gateways on one site, `kills` of them to come. `limits` are in force, by unit, for each team.

    They are two replicas, or with `workers` the workers of one command.
    """

    site: Site
    upstream: TrueUpstream
    dice: random.Random
    kills: int
    limits: dict[str, int]
    workers: bool = False
    hurt_database: Callable[[], None] | None = None
    killed: Counter[str] = field(default_factory=Counter)
    told: dict[str, set[str]] = field(default_factory=dict)
    """By idempotency key: the jobs its create was told of."""
    answers: Counter[str] = field(default_factory=Counter)
    serving: dict[int, Served] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    wrongs: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Load, kills, and watch, until enough were killed and both gateways stand again."""
        work = [self._load(number) for number in range(10)]
        await asyncio.gather(self._kill(), self._watch(), *work)

    async def _kill(self) -> None:
        if self.workers:
            await self._kill_workers()
        else:
            await asyncio.gather(*(self._kill_and_start(number) for number in (0, 1)))
        self.over.set()

    async def _kill_workers(self) -> None:
        """One worker after the other, and now and then the parent, which the rest must not outlive."""
        parent = await self.site.start(workers="2")
        while self.killed["gateway"] < self.kills:
            self.serving = {0: parent, 1: parent}
            await asyncio.sleep(self.dice.uniform(0.0, 1.0))
            children = await asyncio.to_thread(children_of, parent.process.pid)
            if self.dice.random() < 0.05:
                parent.process.kill()
                await parent.process.wait()
                parent = await self.site.start(workers="2")
                self.killed["parent"] += 1
            elif children:
                with suppress(ProcessLookupError):
                    os.kill(self.dice.choice(children), signal.SIGKILL)
                self.killed["gateway"] += 1

    async def _kill_and_start(self, number: int) -> None:
        self.serving[number] = gateway = await self.site.start()
        while self.killed["gateway"] < self.kills:
            self.killed["gateway"] += 1
            await asyncio.sleep(self.dice.uniform(0.0, 2.5))
            if self.hurt_database is not None and self.dice.random() < 0.1:
                await asyncio.to_thread(self.hurt_database)
                self.killed["database"] += 1
            gateway.process.send_signal(signal.SIGKILL)
            await gateway.process.wait()
            self.serving[number] = gateway = await self.site.start()

    async def _watch(self) -> None:
        """No counter is ever above its limit."""
        while not self.over.is_set():
            for name, value in await asyncio.to_thread(self._counters):
                unit, _, _, window, _ = name.split("/")
                if value > self.limits["slots" if window == "at-once" else unit]:
                    self.wrongs.append(f"{name} is {value}")
            await asyncio.sleep(0.05)

    def _counters(self) -> list[tuple[str, int]]:
        with suppress(DBAPIError):  # a database that is just being killed
            return [
                (str(name), int(str(value)))
                for name, value in run_sql(self.site.url, "SELECT name, value FROM counters")
            ]
        return []

    async def _load(self, number: int) -> None:
        while not self.over.is_set():
            team = self.dice.choice(list(TEAMS))
            key = f"{number}-{uuid4()}" if self.dice.random() < 0.7 else None
            twin = key is None and team == "red" and self.dice.random() < 0.5
            await self._create(team, key, f"{team} {'twin' if twin else uuid4()}")
            await asyncio.sleep(self.dice.uniform(0.0, 0.2))

    async def _create(self, team: str, key: str | None, prompt: str) -> None:
        """One create; with a key, repeated like a careful client does until it is told what came of it."""
        for _ in range(8 if key is not None else 1):
            gateway = self.serving.get(self.dice.choice((0, 1)))
            status, body = await self._ask(gateway, team, key, prompt)
            self.answers[f"{status} {body.get('code', '')}".strip()] += 1
            if status == 200 and key is not None:
                self.told.setdefault(key, set()).add(body["request_id"])
            if status == 200 and self.dice.random() < 0.3 and key is not None:
                continue
            if status in (200, 400, 402, 429):
                return
            await asyncio.sleep(self.dice.uniform(0.05, 0.5))

    async def _ask(self, gateway: Served | None, team: str, key: str | None, prompt: str) -> tuple[int, dict[str, Any]]:
        headers = {"X-Request-ID": str(uuid4())} | ({} if key is None else {"Idempotency-Key": key})
        if gateway is None:
            return 0, {}
        client = Client(gateway.public, TEAMS[team], gateway.http)
        try:
            answer = await client.create(payload={"prompt": prompt}, headers=headers)
        except httpx.TransportError:  # killed
            await asyncio.sleep(0.1)
            return 0, {}
        return answer.status_code, answer.json()

    async def proven(self) -> None:
        """After the last kill: everything comes to rest, and the ledger says what upstream knows."""
        await self.site.all_clear(60)
        for job in self.upstream.jobs.values():
            job["ends_at"] = 0.0
        for team in TEAMS:
            await self._comes_to(team)
        await self.site.verify()
        assert self.wrongs + self.upstream.wrongs == []
        assert set(self.upstream.posts.values()) == {1}
        owners = {str(job): team for job, team in run_sql(self.site.url, "SELECT request_id, team FROM jobs")}
        assert owners == {job: record["payload"]["prompt"].split()[0] for job, record in self.upstream.jobs.items()}
        assert [ids for ids in self.told.values() if len(ids) != 1] == []

    async def _comes_to(self, team: str) -> None:
        """The team's counters come to what upstream made of its creates.

        One that upstream refused while it kept a failed job is not counted, if the refusal was still heard.
        """
        jobs = self.upstream.of(team)
        most = {"jobs": len(jobs), "slots": 0, "USD": PRICE * sum(job["outcome_to_be"] == "success" for job in jobs)}
        least = most | {"jobs": sum(not job["forgiven"] for job in jobs)}
        found: dict[str, int] = {}

        async def comes_to() -> bool:
            nonlocal found
            found = await self.site.books(team)
            return all(least[unit] <= found[unit] <= most[unit] for unit in most)

        try:
            await eventually(comes_to, 30)
        except AssertionError:
            raise AssertionError(f"{team}: {found}, not between {least} and {most}") from None
