import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection

from gateway.core.lifecycle import Outcome, State
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.operation import Work
from gateway.ledger.values import Admitted, Sighting
from tests.ledger.samples import (
    NOW,
    claim,
    create,
    money,
    on_sqlite,
    placement,
    reservation,
    reserve,
    run_sql,
    send,
    slot,
)

ROOT = Path(__file__).parent.parent.parent
CREATE_FOREVER = """
import asyncio, sys
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Admitted
from tests.ledger.samples import NOW, claim, placement, reservation, slot

async def create(ledger, name):
    if not isinstance(await ledger.reserve(reservation(name, slot(), claim("c", 2, LIMIT)), NOW), Admitted):
        return
    await ledger.mark_sent(name, NOW)
    await ledger.place(placement(name, f"request-{name}"), NOW)
    print(name, flush=True)

async def main(who, limit):
    globals()["LIMIT"] = limit
    ledger = Ledger(sys.argv[1])
    await ledger.open()
    for start in range(0, 10_000 if limit is None else 60, 20):
        await asyncio.gather(*(create(ledger, f"{who}-{start + number}") for number in range(20)))
    await ledger.close()

asyncio.run(main(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None))
"""


async def start(url: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CREATE_FOREVER, url, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )


async def test_qu1_four_processes_on_one_ledger_admit_exactly_the_limit(ledger: Ledger, url: str) -> None:
    processes = [await start(url, str(who), "100") for who in range(4)]
    outputs = [await process.communicate() for process in processes]
    placed = [name for output, _ in outputs for name in output.split()]
    assert len(placed) == len(set(placed)) == 50
    assert await ledger.used(["c", "red/at-once"]) == {"c": 100, "red/at-once": 50}
    assert await ledger.verify() == []


async def test_kl7_a_process_killed_under_load_leaves_nothing_lost_or_doubled(url: str) -> None:
    process = await start(url, "a")
    assert process.stdout is not None
    answered = [(await process.stdout.readline()).decode().strip() for _ in range(150)]
    process.send_signal(signal.SIGKILL)
    await process.wait()
    ledger = Ledger(url)
    await ledger.open()
    assert await ledger.verify() == []
    assert len(await ledger.owners([f"request-{name}" for name in answered])) == 150
    for waiting in await ledger.jobless.all():
        assert await ledger.release(waiting.id, NOW, None)
    _, jobs = await ledger.list_jobs("red", None, 1, 0)
    assert await ledger.used(["c", "red/at-once"]) == {"c": 2 * jobs, "red/at-once": jobs}
    assert await ledger.verify() == []
    await ledger.close()


async def test_kl1_to_kl4_what_was_answered_is_there_after_a_restart(ledger: Ledger, url: str) -> None:
    await reserve(ledger, reservation("reserved", slot()))
    await send(ledger, reservation("sent", slot()))
    request_id = await create(ledger, reservation("placed", slot()))
    await create(ledger, reservation("settled", slot()), Outcome.SUCCESS)
    await ledger.close()
    again = Ledger(url)
    await again.open()
    assert {entry.id: entry.state for entry in await again.jobless.all()} == {
        "reserved": State.RESERVED,
        "sent": State.SENT,
    }
    assert await again.owner_of(request_id) is not None
    assert await again.used(["red/at-once"]) == {"red/at-once": 3}
    assert await again.release("reserved", NOW, None)
    assert await again.doubt("sent", NOW)
    assert await again.used(["red/at-once"]) == {"red/at-once": 2}
    await again.close()


async def test_kl5_a_reply_that_comes_after_the_doubt_still_places_the_job(ledger: Ledger) -> None:
    await send(ledger, reservation("a", slot()))
    await ledger.doubt("a", NOW)
    assert await ledger.place(placement("a", "r", Outcome.SUCCESS), NOW) is None
    assert await ledger.place(placement("a", "r", Outcome.SUCCESS), NOW) is None
    assert await ledger.used(["red/at-once"]) == {"red/at-once": 0}
    assert await ledger.verify() == []


def siblings(file: Path) -> list[Path]:
    return list(file.parent.iterdir())


def is_healthy(ledger: Ledger) -> bool:
    return ledger.healthy


async def limit_pages(ledger: Ledger, pages: int) -> None:
    assert ledger._writer is not None
    await ledger._writer.write(lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))


@on_sqlite
async def test_le1_a_full_disk_refuses_creates_and_still_settles(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("before", slot(), money(300)))
    await limit_pages(ledger, 1)
    admitted = 0
    with pytest.raises(LedgerUnavailable, match="database or disk is full"):
        for number in range(1000):
            await reserve(ledger, reservation(str(number), claim("c" * 500 + str(number))))
            admitted += 1
    assert not is_healthy(ledger)
    assert await ledger.settle(Sighting(request_id, "failed", None), Outcome.FAILED, NOW)
    assert is_healthy(ledger)
    assert await ledger.used(["red/at-once", "red/usd/2027-01"]) == {"red/at-once": 0, "red/usd/2027-01": 0}
    await limit_pages(ledger, 1_000_000)
    assert isinstance(await ledger.reserve(reservation("after", slot()), NOW), Admitted)
    assert len(await ledger.jobless.all()) == admitted + 1
    assert await ledger.verify() == []


@on_sqlite
async def test_le2_reads_go_on_while_another_process_holds_the_file(ledger: Ledger, file: Path) -> None:
    request_id = await create(ledger, reservation("a"))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    creating = asyncio.ensure_future(ledger.reserve(reservation("b"), NOW))
    await asyncio.sleep(0.01)
    assert await asyncio.wait_for(ledger.owner_of(request_id), 0.5) is not None
    assert not creating.done()
    other.execute("COMMIT")
    other.close()
    assert isinstance(await creating, Admitted)


@on_sqlite
async def test_le3_reads_go_on_when_the_file_cannot_be_written_any_more(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a"))
    assert ledger._writer is not None
    with pytest.raises(LedgerUnavailable):
        await ledger._writer.write(_forbid_writing)
    with pytest.raises(LedgerUnavailable, match="attempt to write a readonly database"):
        await ledger.reserve(reservation("b"), NOW)
    assert not is_healthy(ledger)
    assert await ledger.owner_of(request_id) is not None


def _forbid_writing(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA query_only = ON")
    raise LedgerUnavailable("set")


async def test_ac3_a_create_goes_on_when_its_caller_is_cancelled(ledger: Ledger) -> None:
    await ledger.renew(NOW)
    creating = asyncio.ensure_future(ledger.reserve(reservation("a", slot()), NOW))
    await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert isinstance(await ledger.reserve(reservation("b", slot()), NOW), Admitted)
    assert [entry.id for entry in await ledger.jobless.all()] == ["a", "b"]


async def test_a_ledger_that_is_not_open_is_unavailable(url: str) -> None:
    ledger = Ledger(url)
    assert not is_healthy(ledger)
    with pytest.raises(LedgerUnavailable, match="the ledger is closed"):
        await ledger.owner_of("r")
    await ledger.open()
    assert is_healthy(ledger)
    await ledger.close()
    await ledger.close()
    assert not is_healthy(ledger)
    with pytest.raises(LedgerUnavailable, match="the ledger is closed"):
        await ledger.mark_sent("a", NOW)


@on_sqlite
async def test_a_closed_ledger_is_one_file_beside_the_empty_one_of_turns(ledger: Ledger, file: Path) -> None:
    await create(ledger, reservation("a"))
    await ledger.close()
    assert {each.name: each.stat().st_size > 0 for each in siblings(file)} == {
        file.name: True,
        f"{file.name}-turn": False,
    }


async def test_every_operation_is_timed_whatever_came_of_it(url: str) -> None:
    times: list[tuple[str, float]] = []
    ledger = Ledger(url, lambda name, seconds: times.append((name, seconds)))
    await ledger.open()
    await ledger.renew(NOW)
    await reserve(ledger, reservation("a"))
    with pytest.raises(LedgerUnavailable):
        await ledger.reserve(reservation("a"), NOW)
    await ledger.owner_of("r")
    await ledger.close()
    assert [name for name, _ in times] == ["renew", "reserve", "reserve", "owners"]
    assert all(seconds > 0 for _, seconds in times)


async def test_a_fault_while_reading_is_told_without_values(ledger: Ledger, url: str) -> None:
    run_sql(url, "DROP TABLE snapshots")
    with pytest.raises(LedgerUnavailable) as caught:
        await ledger.load_snapshot("secret")
    assert str(caught.value) in ("no such table: snapshots", 'relation "snapshots" does not exist')


async def test_qu8_what_is_asked_of_lists_and_limits_all_the_time_takes_one_reading_thread(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers, under_way, most = ledger._readers, 0, 0
    assert readers is not None
    real = readers.read

    async def read(work: Work[object]) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        found = await real(work)
        under_way -= 1
        return found

    monkeypatch.setattr(readers, "read", read)
    await asyncio.gather(*(ledger.list_jobs("red", None, 50, offset) for offset in range(5)))
    await asyncio.gather(*(ledger.used([f"counter-{number}"]) for number in range(5)))
    assert most == 1
    await asyncio.gather(*(ledger.list_jobs(team, None, 50, 0) for team in ("red", "blue")))
    assert most == 2, "another team's is not held up"
