"""What a PostgreSQL server says no with, to two processes of the command under load: row LE8."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from tests.conftest import team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS, unavailable
from tests.faults.unruly import UnrulyUpstream
from tests.faults.wire import KEY_A, KEY_B
from tests.postgres import Server, postgres
from tests.served import eventually
from tests.site import NOTHING, PRICE, RUNNING, Site, site_at

__all__ = ["postgres"]

POLICIES = {"a.yaml": team("a", KEY_A, LIMITS), "b.yaml": team("b", KEY_B, LIMITS)}
RETRIES = 3


class Database:
    """A database of its own, in which gateways are a role that is nobody special."""

    def __init__(self, server: Server) -> None:
        self._server = server
        url = make_url(server.empty_database())
        assert url.database is not None
        self.name = url.database
        self.role = f"gateway_of_{self.name}"
        server.run(f"CREATE ROLE {self.role} LOGIN")
        server.run(f"ALTER DATABASE {self.name} OWNER TO {self.role}")
        self.url = url.set(username=self.role).render_as_string(hide_password=False)

    def run(self, *statements: str) -> list[tuple[object, ...]]:
        """Run these as the superuser; the rows of the last one."""
        rows: list[tuple[object, ...]] = []
        for statement in statements:
            rows = self._server.run(statement, self.name)
        return rows

    def end_sessions(self) -> None:
        """As a failover does: what a gateway asks next, it asks in a new session."""
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.role}'")

    def fail_creates(self, code: str, times: int) -> None:
        """Of the attempts to write a create, let so many end with this SQLSTATE. They are counted either way."""
        self.run(
            "DROP SEQUENCE IF EXISTS attempts",
            "CREATE SEQUENCE attempts",
            f"GRANT USAGE ON SEQUENCE attempts TO {self.role}",
            f"""CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('attempts') <= {times} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF;
            RETURN NEW; END $$""",
            "CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION fail()",
        )

    @property
    def attempts(self) -> int:
        ((made,),) = self.run("SELECT last_value FROM attempts")
        return int(str(made))

    @property
    def waits_for_lock(self) -> bool:
        """Whether a gateway does."""
        waiting = f"SELECT pid FROM pg_stat_activity WHERE usename = '{self.role}' AND wait_event_type = 'Lock'"
        return self.run(waiting) != []

    def count(self, what: str) -> int:
        """Of this column, as far as the sessions have told; they do so now and then."""
        ((count,),) = self.run(f"SELECT {what} FROM pg_stat_database WHERE datname = current_database()")
        return int(str(count))


@pytest.fixture
def of_its_own(postgres: Server) -> Database:
    return Database(postgres)


@pytest.fixture
async def site(of_its_own: Database, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_at(tmp_path, of_its_own.url, POLICIES, UnrulyUpstream()) as site:
        await asyncio.gather(*(site.start() for _ in range(2)))
        yield site
        await site.verify()


async def create(site: Site, number: int) -> httpx.Response:
    """A create of either team by either gateway."""
    return await site.started[number % 2].client((KEY_A, KEY_B)[number // 2 % 2]).create()


def told(answers: list[httpx.Response]) -> Counter[int]:
    """How many were answered what; every one that is no 200 says that the ledger is unavailable."""
    unavailable(*(answer for answer in answers if answer.status_code != 200))
    return Counter(answer.status_code for answer in answers)


@pytest.mark.parametrize("code", ["40001", "40P01"])
async def test_le8_a_conflict_is_tried_again_three_times_at_most(site: Site, of_its_own: Database, code: str) -> None:
    of_its_own.fail_creates(code, RETRIES)
    assert (await create(site, 0)).status_code == 200
    assert of_its_own.attempts == RETRIES + 1
    assert await site.books() == RUNNING

    of_its_own.fail_creates(code, 1000)
    unavailable(await create(site, 1))
    assert of_its_own.attempts <= RETRIES + 1
    assert await site.books() == RUNNING
    assert len(site.upstream.creates) == 1

    of_its_own.fail_creates(code, 0)
    assert (await create(site, 2)).status_code == 200
    assert await site.books() == {name: 2 * value for name, value in RUNNING.items()}


async def in_a_circle(site: Site, database: Database) -> httpx.Response:
    """What a create comes to that waits for a counter of somebody who waits for one of the create's."""
    lock = "SELECT FROM counters WHERE starts_with(name, %s) FOR UPDATE"

    async def waits() -> bool:
        return database.waits_for_lock

    with psycopg.connect(make_url(database.url).set(username="postgres").render_as_string()) as other:
        other.execute("SET deadlock_timeout = '1min'")  # so that the gateway is the one to lose
        other.execute(lock, ["jobs/a//at-once"])
        creating = asyncio.ensure_future(create(site, 0))
        await eventually(waits)
        await asyncio.to_thread(other.execute, lock, ["USD/a/"])
    return await creating


async def test_le8_a_create_that_loses_a_real_deadlock_is_made_once_or_refused(
    site: Site, of_its_own: Database
) -> None:
    of_its_own.run(f"ALTER ROLE {of_its_own.role} SET deadlock_timeout = '150ms'")
    of_its_own.end_sessions()
    answers = [await create(site, 0)]
    while not of_its_own.count("deadlocks"):
        answers.append(await in_a_circle(site, of_its_own))
    taken = told(answers)[200]
    assert taken == len(site.upstream.creates) > 0
    await site.all_clear()
    assert await site.books() == {"jobs": taken, "slots": taken, "USD": taken * PRICE}


async def test_le8_creates_that_a_server_cannot_serialize_are_each_counted_once_or_refused(
    site: Site, of_its_own: Database
) -> None:
    of_its_own.run(f"ALTER DATABASE {of_its_own.name} SET default_transaction_isolation = serializable")
    of_its_own.end_sessions()
    for gateway in site.started:
        await eventually(gateway.is_ready)
    before = of_its_own.count("xact_rollback")
    answers = await asyncio.gather(*(create(site, number) for number in range(80)))
    taken = told(answers)[200]
    assert taken == len(site.upstream.creates) > 0
    await site.all_clear()

    async def met_conflicts() -> bool:
        return of_its_own.count("xact_rollback") > before

    await eventually(met_conflicts)
    assert await site.books() == {"jobs": taken, "slots": taken, "USD": taken * PRICE}


async def test_le8_a_server_that_became_a_standby_takes_nothing_until_there_is_a_primary(
    site: Site, of_its_own: Database
) -> None:
    assert (await create(site, 0)).status_code == 200
    of_its_own.run(f"ALTER ROLE {of_its_own.role} SET default_transaction_read_only = on")
    of_its_own.end_sessions()
    assert told(await asyncio.gather(*(create(site, number) for number in range(20)))) == {503: 20}
    (request_id,) = site.upstream.jobs
    for gateway in site.started:
        assert not await gateway.is_ready()
        assert (await gateway.client(KEY_A).get(f"{Q}/requests/{request_id}")).status_code == 200
    assert await site.books() == RUNNING

    of_its_own.run(f"ALTER ROLE {of_its_own.role} RESET default_transaction_read_only")
    for gateway in site.started:
        await eventually(gateway.is_ready)
    assert told([await create(site, number) for number in range(4)]) == {200: 4}
    assert len(site.upstream.creates) == 5
    assert await site.books() == {name: 5 * value for name, value in RUNNING.items()}


async def test_le8_a_server_without_room_for_a_session_takes_nothing_until_it_has_some(
    site: Site, of_its_own: Database
) -> None:
    of_its_own.run(f"ALTER ROLE {of_its_own.role} CONNECTION LIMIT 0")
    of_its_own.end_sessions()
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        psycopg.connect(of_its_own.url)
    assert told(await asyncio.gather(*(create(site, number) for number in range(20)))) == {503: 20}
    assert site.upstream.creates == []

    of_its_own.run(f"ALTER ROLE {of_its_own.role} CONNECTION LIMIT -1")
    for gateway in site.started:
        await eventually(gateway.is_ready)
    assert await site.books() == NOTHING
    assert told([await create(site, number) for number in range(4)]) == {200: 4}
    assert await site.books() == {name: 4 * value for name, value in RUNNING.items()}
