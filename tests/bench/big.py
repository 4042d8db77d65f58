"""`python -m tests.bench.big`: what a ledger of a million jobs of a thousand teams costs beside one of ten teams.

A team has as many jobs in one as in the other, so that both list the same. Each line is the median of the rounds in
milliseconds. A request pays for the first ones; the others are done behind its back or by an operator.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine

from gateway.core.lifecycle import Outcome
from gateway.ledger.engine import ledger_url
from gateway.ledger.ledger import Ledger
from gateway.ledger.reader import read_ledger
from gateway.ledger.values import Sighting, new_reservation_id
from tests.bench.ledger import NOW, RECORD, create
from tests.postgres import running_server

SMALL = 10
"""Teams of the small ledger."""

LIVING = 500
"""Jobs of each ledger that have not ended."""

_WORDS = {
    "sqlite": {
        "series": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {jobs}) SELECT n FROM s",
        "id": "printf('%024d', n)",
        "digest": "zeroblob(32)",
        "record": "zeroblob(200)",
    },
    "postgresql": {
        "series": "SELECT generate_series(1, {jobs}) AS n",
        "id": "lpad(n::text, 24, '0')",
        "digest": "decode(repeat('00', 32), 'hex')",
        "record": "decode(repeat('00', 200), 'hex')",
    },
}
_FILL = (
    "CREATE TABLE numbers AS {series}",
    """INSERT INTO counters (name, value, window_ends, direct)
    SELECT {team} || '/jobs/month', 0, {now} + 86400, false FROM numbers WHERE n <= {teams}""",
    """INSERT INTO reservations (id, team, key, model, credential, state, refused, outcome, price, seconds,
    charge_failed, body_digest, payload_digest, created_at, updated_at, instance)
    SELECT {id}, {team}, 'web', {model}, 'default', {state}, false, {outcome}, 280000, 0, false, {digest}, {digest},
    {at}, {at}, 'i' FROM numbers""",
    """INSERT INTO claims (reservation_id, counter, amount, on_settle)
    SELECT {id}, {team} || '/jobs/month', 1, 'keep' FROM numbers""",
    """INSERT INTO jobs (request_id, reservation_id, team, model, created_at, status, complete, looked_at, next_look_at,
    settled_at, record)
    SELECT 'request-' || {id}, {id}, {team}, {model}, {at}, 'success', true, {at}, {now} + 60, {settled_at}, {record}
    FROM numbers""",
    "UPDATE counters SET value = (SELECT count(*) FROM claims WHERE counter = name)",
    "DROP TABLE numbers",
)


def fill(url: str, jobs: int, teams: int) -> None:
    """Put so many jobs of so many teams, of the last 25 days, into an empty ledger."""
    ended = f"n <= {jobs} - {LIVING}"
    words = {
        "teams": str(teams),
        "now": str(NOW),
        "team": f"'team-' || (n - n / {teams} * {teams})",
        "model": "'model-' || (n - n / 7 * 7)",
        "at": f"({NOW} - 25 * 86400.0 * (1.0 - n * 1.0 / {jobs}))",
        "state": f"CASE WHEN {ended} THEN 'settled' ELSE 'placed' END",
        "outcome": f"CASE WHEN {ended} THEN 'success' END",
    }
    words["settled_at"] = f"CASE WHEN {ended} THEN {words['at']} END"
    kind = ledger_url(url).get_backend_name()
    words |= {name: text.format(jobs=jobs) for name, text in _WORDS[kind].items()}
    engine = create_engine(ledger_url(url).set(drivername="postgresql+psycopg") if kind == "postgresql" else url)
    with engine.begin() as connection:
        for statement in _FILL:
            connection.exec_driver_sql(statement.format(**words))
    if kind == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
    engine.dispose()


async def measure(url: str, rounds: int) -> dict[str, float]:
    """How long each operation takes, in seconds."""
    found: dict[str, float] = {}
    began = time.perf_counter()
    ledger = Ledger(url)
    await ledger.open()
    found["start"] = time.perf_counter() - began
    numbers = itertools.count()

    async def settle() -> None:
        request = await create(ledger, f"team-{next(numbers) % 7}", new_reservation_id(NOW), str(uuid.uuid4()))
        await ledger.settle(Sighting(request, "success", RECORD), Outcome.SUCCESS, NOW)

    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "create and settle": settle,
        "owner of a job": lambda: ledger.owner_of("request-" + "5000".zfill(24)),
        "list, first page": lambda: ledger.list_jobs("team-5", None, 50, 0),
        "list of a model": lambda: ledger.list_jobs("team-5", "model-3", 50, 0),
        "list of all teams": lambda: ledger.list_jobs(None, None, 50, 0),
        "due jobs": lambda: ledger.looks.take(NOW, 256),
        "open counts": ledger.open_counts,
        "usage of a team": lambda: ledger.usage("team-5", NOW - 86400 * 30, NOW),
        "usage of all": lambda: ledger.usage(None, NOW - 86400 * 30, NOW),
        "purge": lambda: ledger.purge(NOW),
        "verify": lambda: asyncio.to_thread(_verify, url),
    }
    for name, operation in operations.items():
        times = []
        for _ in range(1 if name in ("usage of all", "verify") else rounds):
            began = time.perf_counter()
            await operation()
            times.append(time.perf_counter() - began)
        found[name] = median(times)
    await ledger.close()
    return found


def _verify(url: str) -> None:
    """As the command does it, however long it takes."""
    with read_ledger(url) as ledger:
        assert ledger.verify() == []


def main() -> int:
    """Measure a small and a big ledger and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.big")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--teams", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite")
    options = parser.parse_args()
    if options.postgresql:
        with running_server() as server:
            _compare(server.ledger_database(), server.ledger_database(), options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _compare(f"sqlite:///{Path(folder) / 'small.db'}", f"sqlite:///{Path(folder) / 'big.db'}", options)
    return 0


def _compare(small: str, big: str, options: argparse.Namespace) -> None:
    for url in (small, big):
        asyncio.run(_opened_once(url))
    fill(small, options.jobs // options.teams * SMALL, SMALL)
    began = time.perf_counter()
    fill(big, options.jobs, options.teams)
    print(f"{options.jobs} jobs written in {time.perf_counter() - began:.0f} s\n")
    few, many = (asyncio.run(measure(url, options.rounds)) for url in (small, big))
    print("| operation | small, ms | big, ms | times |\n|---|--:|--:|--:|")
    for name, seconds in few.items():
        print(f"| {name} | {seconds * 1e3:.2f} | {many[name] * 1e3:.2f} | {many[name] / seconds:.1f} |")


async def _opened_once(url: str) -> None:
    ledger = Ledger(url)
    await ledger.open()
    await ledger.close()


if __name__ == "__main__":
    raise SystemExit(main())
