"""`python -m tests.bench.ledger`: what a create costs the ledger alone, durable on SQLite and PostgreSQL.

A create is what a gateway does for one: reserve four claims, mark it sent, place its job. Callers run one create after
another; each line is the median of the rounds, and CPU is this process's own over all its threads.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from gateway.core.claims import Claim, OnSettle
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Admitted, KeptAnswer, NewReservation, Placement, new_reservation_id
from gateway.server.run import share_the_interpreter
from tests.postgres import running_server

NOW = 1_800_000_000.0
DIGEST = b"\x00" * 32
RECORD = b'{"request_id":"%s","model":"model-1","status":"queued","payload":{"prompt":"a lighthouse at dawn"}}'
REPLY = KeptAnswer(200, ((b"content-type", b"application/json"),), b"{}")


@dataclass(frozen=True)
class Case:
    """So many callers at once, whose creates belong to so many teams."""

    callers: int
    teams: int


CASES = (Case(1, 1), Case(8, 1), Case(64, 1), Case(64, 8))


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    share_the_interpreter()
    print("| ledger | callers | teams | creates/s | CPU us/create | p50 ms | p99 ms |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in ("sqlite", "postgresql"):
        if options.only in (None, name):
            with _empty_ledger(name) as url:
                _report(name, [uvloop.run(_round(url, options.seconds)) for _ in range(options.rounds)])
    return 0


@dataclass(frozen=True)
class Result:
    """What one case came to in one round; times in seconds, a create's CPU in microseconds."""

    creates_per_second: float
    cpu_us: float
    p50: float
    p99: float


def _report(name: str, rounds: list[list[Result]]) -> None:
    for case, results in zip(CASES, zip(*rounds, strict=True), strict=True):
        print(
            f"| {name} | {case.callers} | {case.teams} | {median(each.creates_per_second for each in results):.0f} "
            f"| {median(each.cpu_us for each in results):.0f} | {median(each.p50 for each in results) * 1e3:.1f} "
            f"| {median(each.p99 for each in results) * 1e3:.1f} |",
            flush=True,
        )


async def _round(url: str, seconds: float) -> list[Result]:
    ledger = Ledger(url)
    await ledger.open()
    try:
        return [await _measure(ledger, case, seconds) for case in CASES]
    finally:
        await ledger.close()


async def _measure(ledger: Ledger, case: Case, seconds: float) -> Result:
    times: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    async def call(team: str) -> None:
        while time.perf_counter() - began < seconds:
            started = time.perf_counter()
            await create(ledger, team, new_reservation_id(time.time()), str(uuid.uuid4()))  # noqa: TID251 - real ids
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(call(f"team-{number % case.teams}") for number in range(case.callers)))
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    times.sort()
    count = len(times)
    return Result(count / took, spent / count * 1e6, times[count // 2], times[count * 99 // 100])


async def create(ledger: Ledger, team: str, name: str, request: str) -> str:
    """One create of a team, all the way to its job. The job's id."""
    assert isinstance(await ledger.reserve(_reservation(name, team), NOW), Admitted)
    assert await ledger.mark_sent(name, NOW)
    placement = Placement(name, request, "queued", RECORD % request.encode(), complete=True, outcome=None, reply=REPLY)
    assert await ledger.place(placement, NOW) is None
    return request


def _reservation(name: str, team: str) -> NewReservation:
    claims = (
        Claim(f"{team}/slots", 1, None, OnSettle.RETURN, (), None),
        Claim(f"{team}/jobs/day", 1, 10**9, OnSettle.KEEP, (), NOW + 86_400),
        Claim(f"{team}/jobs/minute", 1, 10**9, OnSettle.KEEP, (), NOW + 60),
        Claim(f"{team}/usd/month", 280_000, 10**15, OnSettle.ADJUST, (), NOW + 30 * 86_400),
    )
    return NewReservation(
        id=name,
        team=team,
        key="web",
        model="model-1",
        credential="default",
        price=280_000,
        seconds=0,
        charge_failed=False,
        claims=claims,
        body_digest=DIGEST,
        payload_digest=DIGEST,
        idempotency_key=None,
        created_at=NOW,
        repeats_for=86_400.0,
    )


@contextmanager
def _empty_ledger(name: str) -> Iterator[str]:
    """The URL of a ledger that is durable as in production: PostgreSQL keeps its fsync."""
    if name == "postgresql":
        with running_server() as server:
            yield server.ledger_database()
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'gateway.db'}"


if __name__ == "__main__":
    raise SystemExit(main())
