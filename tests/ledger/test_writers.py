import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from gateway.core.lifecycle import Outcome, State
from gateway.ledger import writers as writing
from gateway.ledger.engine import ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.operation import Together, Undo
from gateway.ledger.postgresql import writing_engine
from gateway.ledger.values import Admitted, Sighting
from gateway.ledger.writers import Writers
from tests.ledger.samples import NOW, claim, create, money, placement, reservation, run_sql, slot
from tests.postgres import Server
from tests.postgres_proxy import Proxy, proxy
from tests.served import eventually

__all__ = ["proxy"]


@pytest.fixture
def database(postgres: Server) -> str:
    return postgres.ledger_database()


@pytest.fixture
async def writers(database: str) -> AsyncIterator[Writers]:
    run_sql(database, "CREATE TABLE lines (line TEXT PRIMARY KEY, number SERIAL)")
    writers = Writers(writing_engine(ledger_url(database)))
    yield writers
    await asyncio.to_thread(writers.stop)


@pytest.fixture
async def ledger(database: str, proxy: Proxy) -> AsyncIterator[Ledger]:
    """A ledger whose connections go through the proxy."""
    ledger = Ledger(proxy.url(database))
    await ledger.open()
    yield ledger
    await ledger.close()


def add(connection: Connection, line: str) -> str:
    connection.exec_driver_sql(f"INSERT INTO lines VALUES ('{line}')")
    return line


def lines(connection: Connection) -> list[str]:
    return list(connection.exec_driver_sql("SELECT line FROM lines ORDER BY number").scalars())


def is_healthy(writers: Writers | Ledger) -> bool:
    return writers.healthy


def fail_with(code: str, times: int) -> Callable[[Connection], str]:
    """An operation the server refuses so often with this SQLSTATE."""
    attempts = iter(range(times))

    def work(connection: Connection) -> str:
        add(connection, f"{code} {times}")
        if next(attempts, None) is not None:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'as told' USING ERRCODE = '{code}'; END $$")
        return "done"

    return work


async def test_an_answer_is_given_after_the_commit(writers: Writers, database: str) -> None:
    assert await writers.write(partial(add, line="a")) == "a"
    assert run_sql(database, "SELECT line FROM lines") == [("a",)]


async def test_a_lane_keeps_its_order_and_lanes_do_not_wait_for_each_other(writers: Writers) -> None:
    def slowly(connection: Connection) -> str:
        time.sleep(0.2)
        return add(connection, "slow")

    slow = writers.write(slowly, None, "red")
    behind = [writers.write(partial(add, line=f"red-{number}"), None, "red") for number in range(3)]
    beside = [writers.write(partial(add, line=f"{lane}-1"), None, lane) for lane in ("blue", "")]
    await asyncio.gather(slow, *behind, *beside)
    found = await writers.write(lines)
    assert sorted(found[:2]) == ["-1", "blue-1"]
    assert found[2:] == ["slow", "red-0", "red-1", "red-2"]


async def test_what_undoes_itself_or_fails_takes_nobody_with_it(writers: Writers) -> None:
    def refuse(connection: Connection) -> str:
        add(connection, "undone")
        raise Undo("no room")

    def stumble(connection: Connection) -> str:
        add(connection, "undone")
        raise ZeroDivisionError

    works: list[Callable[[Connection], Any]] = [
        partial(add, line="a"),
        refuse,
        stumble,
        partial(add, line="b"),
        partial(add, line="b"),
    ]
    results = await asyncio.gather(*(writers.write(work, None, "red") for work in works), return_exceptions=True)
    assert [results[0], results[1], results[3]] == ["a", "no room", "b"]
    assert isinstance(results[2], ZeroDivisionError)
    assert isinstance(results[4], LedgerUnavailable)
    assert str(results[4]) == 'duplicate key value violates unique constraint "lines_pkey"'
    assert await writers.write(lines) == ["a", "b"]
    assert is_healthy(writers)


async def test_ac3_it_is_done_though_nobody_waits_any_more(writers: Writers) -> None:
    waiting = writers.write(partial(add, line="a"), None, "red")
    waiting.cancel()
    assert await writers.write(lines, None, "red") == ["a"]


async def test_stopping_finishes_what_was_handed_over(writers: Writers, database: str) -> None:
    waiting = [writers.write(partial(add, line=str(number)), None, "red") for number in range(20)]
    await asyncio.to_thread(writers.stop)
    assert [await each for each in waiting] == [str(number) for number in range(20)]
    assert len(run_sql(database, "SELECT line FROM lines")) == 20
    with pytest.raises(LedgerUnavailable, match="the ledger is closed"):
        writers.write(lines)


@pytest.mark.parametrize("code", ["40001", "40P01"])
async def test_le8_a_lost_conflict_is_tried_again_three_times_and_no_more(writers: Writers, code: str) -> None:
    assert await writers.write(fail_with(code, 3)) == "done"
    with pytest.raises(LedgerUnavailable, match="as told"):
        await writers.write(fail_with(code, 4))
    assert await writers.write(lines) == [f"{code} 3"]


async def test_le8_what_another_try_cannot_help_is_not_tried_again(writers: Writers) -> None:
    with pytest.raises(LedgerUnavailable, match="as told"):
        await writers.write(fail_with("57014", 1))
    assert await writers.write(lines) == []


async def test_le8_a_real_deadlock_costs_the_loser_a_second_try(writers: Writers) -> None:
    def lock(connection: Connection, first: int, second: int) -> int:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({first})")
        time.sleep(0.1)
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({second})")
        return first

    both = [writers.write(partial(lock, first=1, second=2)), writers.write(partial(lock, first=2, second=1))]
    assert await asyncio.gather(*both) == [1, 2]


async def test_le8_57p01_connections_the_server_ended_are_replaced_unseen(
    writers: Writers, postgres: Server, database: str
) -> None:
    name = ledger_url(database).database
    await asyncio.gather(*(writers.write(partial(add, line=str(number))) for number in range(6)))
    ended = postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert len(ended) > 1
    await asyncio.gather(*(writers.write(partial(add, line=f"after-{number}")) for number in range(6)))
    assert is_healthy(writers)


async def test_le8_25006_a_standby_is_left_for_the_primary(writers: Writers, postgres: Server, database: str) -> None:
    name = ledger_url(database).database
    postgres.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(LedgerUnavailable, match="cannot execute INSERT in a read-only transaction"):
        await writers.write(partial(add, line="a"))
    assert not is_healthy(writers)
    postgres.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await writers.write(partial(add, line="a")) == "a"
    assert is_healthy(writers)


async def test_le8_53300_a_server_without_room_is_unavailable_until_it_has_some(
    postgres: Server, database: str
) -> None:
    postgres.run(f"CREATE ROLE crowded_{time.time_ns()} LOGIN CONNECTION LIMIT 0")
    [(role,)] = postgres.run("SELECT max(rolname) FROM pg_roles WHERE rolname LIKE 'crowded_%'")
    writers = Writers(writing_engine(ledger_url(database.replace("postgres:@", f"{role}:@"))))
    began = time.perf_counter()
    with pytest.raises(LedgerUnavailable, match="too many connections"):
        await writers.write(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())
    assert time.perf_counter() - began < 2
    postgres.run(f"ALTER ROLE {role} CONNECTION LIMIT 5")
    assert await writers.write(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one()) == 1
    await asyncio.to_thread(writers.stop)


@pytest.mark.parametrize("when", ["before", "while", "after"])
@pytest.mark.parametrize("key", [None, "k"])
async def test_le5_a_reservation_whose_commit_is_cut_off_is_made_once(
    ledger: Ledger, proxy: Proxy, when: str, key: str | None
) -> None:
    await ledger.reserve(reservation("before", slot(), money(100)), NOW)
    proxy.lose = when
    assert await ledger.reserve(reservation("a", slot(), money(300, 1000), key=key), NOW) == Admitted(
        {"red/at-once": 2, "red/usd/2027-01": 400}
    )
    assert not proxy.armed
    assert {each.id for each in await ledger.jobless.all()} == {"before", "a"}
    assert await ledger.verify() == []


@pytest.mark.parametrize("when", ["before", "while", "after"])
async def test_le5_every_step_of_a_job_survives_a_commit_that_is_cut_off(
    ledger: Ledger, proxy: Proxy, when: str
) -> None:
    async def cut(step: object) -> object:
        proxy.lose = when
        result = await step  # type: ignore[misc]  # any awaitable
        assert not proxy.armed
        return result

    assert isinstance(await cut(ledger.reserve(reservation("a", slot(), money(300), key="k"), NOW)), Admitted)
    assert await cut(ledger.mark_sent("a", NOW)) is True
    await cut(ledger.doubt("a", NOW))
    assert [each.state for each in await ledger.jobless.all()] == [State.UNKNOWN]
    await cut(ledger.release("a", NOW, None))
    request_id = await create(ledger, reservation("b", slot(), money(300)))
    await cut(ledger.settle(Sighting(request_id, "failed", None), Outcome.FAILED, NOW))
    assert await ledger.used(["red/at-once", "red/usd/2027-01"]) == {"red/at-once": 0, "red/usd/2027-01": 0}
    assert await ledger.verify() == []


async def test_le5_what_only_counts_is_not_repeated_when_its_commit_is_cut_off(ledger: Ledger, proxy: Proxy) -> None:
    await ledger.take([claim("other")])
    proxy.lose = "after"
    with pytest.raises(LedgerUnavailable) as cut:
        await ledger.take([claim("uploads")])
    assert cut.value.may_be_done
    assert await ledger.used(["uploads"]) == {"uploads": 1}
    assert await ledger.take([claim("uploads")]) == Admitted({"uploads": 2})
    assert await ledger.used(["uploads"]) == {"uploads": 2}


async def test_le5_a_server_that_is_gone_is_known_at_once_and_found_again(ledger: Ledger, proxy: Proxy) -> None:
    await ledger.reserve(reservation("a"), NOW)
    await proxy.cut()
    began = time.perf_counter()
    results = await asyncio.gather(
        *(ledger.reserve(reservation(str(number), team=f"team-{number}"), NOW) for number in range(30)),
        ledger.owner_of("r"),
        return_exceptions=True,
    )
    assert time.perf_counter() - began < 2
    assert {type(result) for result in results} == {LedgerUnavailable}
    assert not is_healthy(ledger)
    await proxy.listen()
    assert await ledger.owner_of("r") is None
    assert isinstance(await ledger.reserve(reservation("b"), NOW), Admitted)
    assert is_healthy(ledger)
    assert {each.id for each in await ledger.jobless.all()} == {"a", "b"}


async def test_le5_a_server_that_says_nothing_is_unavailable_within_two_seconds(ledger: Ledger, proxy: Proxy) -> None:
    await ledger.reserve(reservation("a"), NOW)
    proxy.flowing.clear()
    began = time.perf_counter()
    with pytest.raises(LedgerUnavailable, match="the ledger does not answer"):
        await ledger.reserve(reservation("b", slot(1)), NOW)
    assert time.perf_counter() - began < 2
    proxy.flowing.set()
    await eventually(partial(holds, ledger, {"a"}))
    assert isinstance(await ledger.reserve(reservation("c", slot(1)), NOW), Admitted)


async def holds(ledger: Ledger, names: set[str]) -> bool:
    """Whether these reservations are open and no others; every counter is proven."""
    return {each.id for each in await ledger.jobless.all()} == names and await ledger.verify() == []


async def test_le7_a_team_whose_counters_are_locked_keeps_nobody_else_waiting(ledger: Ledger, database: str) -> None:
    await ledger.reserve(reservation("red", claim("red")), NOW)
    with psycopg.connect(database) as other:
        other.execute("SELECT * FROM counters WHERE name = 'red' FOR UPDATE")
        began = time.perf_counter()
        locked = [
            asyncio.ensure_future(ledger.reserve(reservation(f"red-{number}", claim("red")), NOW))
            for number in range(20)
        ]
        await asyncio.sleep(0.05)
        for number in range(5):
            new = reservation(f"blue-{number}", claim("blue"), team="blue")
            assert isinstance(await ledger.reserve(new, NOW), Admitted)
        assert time.perf_counter() - began < 1
        results = await asyncio.gather(*locked, return_exceptions=True)
        assert time.perf_counter() - began < 2
    assert {type(result) for result in results} == {LedgerUnavailable}
    assert is_healthy(ledger)
    assert isinstance(await ledger.reserve(reservation("red-again", claim("red")), NOW), Admitted)
    await eventually(partial(holds, ledger, {"red", "red-again", *(f"blue-{number}" for number in range(5))}))


def together(log: list[list[str]], line: str) -> Together[str]:
    """A line that is added with others; which ones were, is told in the log. No line may be added twice."""

    def add_all(connection: Connection, group: Sequence[str]) -> list[str]:
        log.append(list(group))
        return [add(connection, each) for each in group]

    kinds.setdefault(id(log), add_all)
    return Together(kinds[id(log)], line)


kinds: dict[int, Any] = {}


async def test_what_waits_of_one_kind_is_committed_together(writers: Writers) -> None:
    log: list[list[str]] = []
    await asyncio.gather(
        *(writers.write(partial(add, line=f"{n:03}"), None, "", together(log, f"{n:03}")) for n in range(100))
    )
    assert sorted(await writers.write(lines)) == [f"{number:03}" for number in range(100)]
    assert len(log) < 10


async def test_one_that_fails_in_a_group_fails_alone(writers: Writers) -> None:
    log: list[list[str]] = []
    names = ["a", "b", "b", "c"]
    results = await asyncio.gather(
        *(writers.write(partial(add, line=name), None, "red", together(log, name)) for name in names),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [str, str, LedgerUnavailable, str]
    assert await writers.write(lines) == ["a", "b", "c"]


async def test_le8_a_group_that_loses_a_conflict_is_done_one_by_one(writers: Writers) -> None:
    fails = fail_with("40P01", 2)
    group: Together[str] = Together(lambda connection, items: [fails(connection) for _ in items], None)
    names = ["a", "b", "c"]
    found = await asyncio.gather(*(writers.write(partial(add, line=name), None, "red", group) for name in names))
    assert found == names
    assert await writers.write(lines) == names


async def test_le8_what_was_lost_together_counts_among_the_attempts(writers: Writers) -> None:
    fails, attempts = fail_with("40001", 100), itertools.count(1)

    def fail(connection: Connection) -> str:
        next(attempts)
        return fails(connection)

    group: Together[str] = Together(lambda connection, items: [fail(connection) for _ in items], None)
    with pytest.raises(LedgerUnavailable, match="as told"):
        await writers.write(fail, None, "red", group)
    assert next(attempts) == 5


@pytest.mark.parametrize("when", ["before", "while", "after"])
async def test_le5_a_group_whose_commit_is_cut_off_is_made_once(ledger: Ledger, proxy: Proxy, when: str) -> None:
    await ledger.reserve(reservation("before", slot()), NOW)
    names = [str(number) for number in range(12)]
    proxy.lose = when
    results = await asyncio.gather(*(ledger.reserve(reservation(name, slot(), key=name), NOW) for name in names))
    assert {type(result) for result in results} == {Admitted}
    proxy.lose = when
    assert all(await asyncio.gather(*(ledger.mark_sent(name, NOW) for name in names)))
    proxy.lose = when
    placed = await asyncio.gather(*(ledger.place(placement(name, f"request-{name}"), NOW) for name in names))
    assert placed == [None] * 12
    assert not proxy.armed
    assert await ledger.used(["red/at-once"]) == {"red/at-once": 13}
    assert await ledger.verify() == []


async def test_le7_of_many_teams_the_locked_one_alone_fails_and_is_back_when_it_is_free(
    ledger: Ledger, database: str
) -> None:
    def crowd(prefix: str) -> list[asyncio.Future[Any]]:
        return [
            asyncio.ensure_future(
                ledger.reserve(reservation(f"{prefix}-{team}-{number}", claim(f"of {team}"), team=team), NOW)
            )
            for number in range(5)
            for team in ("red", "blue", "green")
        ]

    await asyncio.gather(*crowd("before"))
    with psycopg.connect(database) as other:
        other.execute("SELECT * FROM counters WHERE name = 'of red' FOR UPDATE")
        began = time.perf_counter()
        for round_number in range(3):
            results = crowd(str(round_number))
            await asyncio.gather(*(each for index, each in enumerate(results) if index % 3))
            assert not any(result.done() for result in results[::3])
            if round_number == 0:
                first = results[::3]
        assert time.perf_counter() - began < 1.5
        assert {type(each) for each in await asyncio.gather(*first, return_exceptions=True)} == {LedgerUnavailable}
    await asyncio.gather(*crowd("after"))
    assert (await ledger.used(["of blue", "of green"])) == {"of blue": 25, "of green": 25}
    assert await ledger.verify() == []


async def test_what_nobody_waits_for_any_more_is_not_begun_with_a_group(
    writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, has_begun = threading.Event(), threading.Event()
    begun: list[str] = []

    def add_all(connection: Connection, group: Sequence[str]) -> list[str]:
        begun.extend(group)
        has_begun.set()
        go.wait(10)
        return [add(connection, each) for each in group]

    def write(line: str) -> asyncio.Future[str]:
        return writers.write(partial(add, line=line), None, "", Together(add_all, line))

    first = write("first")
    assert await asyncio.to_thread(has_begun.wait, 10)
    monkeypatch.setattr(writing, "PATIENCE", 0.01)
    late = write("late")
    with pytest.raises(LedgerUnavailable, match="the ledger does not answer"):
        await late
    monkeypatch.undo()
    in_time = write("in time")
    go.set()
    assert [await first, await in_time] == ["first", "in time"]
    assert begun == ["first", "in time"]
    assert await writers.write(lines) == ["first", "in time"]
