"""The ledger fails under a running gateway; the command is killed at its rest points, or ends: rows LE, KL and SH."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.core.claims import Claim, OnSettle
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import NewReservation
from tests.conftest import OpenHouse, team
from tests.fake_upstream import FakeUpstream, Q
from tests.faults.conftest import LIMITS, World, refused
from tests.faults.unruly import CREATE, LIST, UnrulyUpstream, unruly_world
from tests.faults.wire import KEY_A, Answer
from tests.ledger_troubles import fill_disk, no_writes
from tests.served import environment_of, eventually, served
from tests.site import received

Q0, Q1, QH = (0, 0, 0), (1, 1, 0), (1, 1, 1)
"""A team's jobs counted, slots held, and reservations without a job."""

KEYED = {"Idempotency-Key": "k"}


async def create(world: World) -> Answer:
    return Answer.of(await world.a.create())


# --- the running gateway -------------------------------------------------------------------------------------------


async def test_le1_a_full_disk_refuses_creates_unsent_and_serves_owners(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        request_id = (await create(world)).json["request_id"]
        make_room = await fill_disk(world.house)
        answers = [await create(world) for _ in range(30)]
        full = [answer for answer in answers if answer.status != 200]
        assert full
        for answer in full:
            refused(answer, 503, "ledger_unavailable")
        assert len(upstream.creates) == 1 + len(answers) - len(full)
        assert (await world.a.get(f"{Q}/requests/{request_id}")).status_code == 200

        await make_room()
        assert (await create(world)).status == 200
        done = len(answers) - len(full) + 2

        async def committed() -> bool:
            return await world.books() == (done, done, 0)

        await world.house.eventually(committed, 10.0)


async def test_le1_an_accepted_create_is_answered_and_its_commit_repeated_until_it_holds(
    open_house: OpenHouse,
) -> None:
    async with unruly_world(open_house) as (world, upstream):
        upstream.go.clear()
        running = asyncio.ensure_future(create(world))
        await world.house.eventually(lambda: len(upstream.creates) == 1)
        async with no_writes(world.house):
            upstream.go.set()
            answer = await running
            assert answer.status == 200
            poll = await world.a.get(f"{Q}/requests/{answer.json['request_id']}")
            assert (poll.status_code, poll.json()["code"]) == (503, "ledger_unavailable")
            assert (await world.b.get(f"{Q}/requests/{answer.json['request_id']}")).status_code == 404
            assert await world.books() == QH
            metrics = (await world.house.admin("/metrics")).text
            assert "gateway_settlement_errors_total 0.0" not in metrics

        async def committed() -> bool:
            return await world.books() == Q1

        await world.house.eventually(committed, 10.0)
        assert (await world.a.get(f"{Q}/requests/{answer.json['request_id']}")).status_code == 200
        assert len(upstream.creates) == 1


async def test_le1_a_refused_create_is_released_as_soon_as_the_ledger_takes_it(open_house: OpenHouse) -> None:
    async with unruly_world(open_house) as (world, upstream):
        upstream.go.clear()
        upstream.answers["POST", f"{Q}/requests"] = (
            b'HTTP/1.1 400 Bad Request\r\nContent-Length: 14\r\n\r\n{"error":"no"}'
        )
        running = asyncio.ensure_future(create(world))
        await world.house.eventually(lambda: len(upstream.creates) == 1)
        async with no_writes(world.house):
            upstream.go.set()
            assert (await running).status == 400
            assert await world.books() == QH

        async def released() -> bool:
            return await world.books() == Q0

        await world.house.eventually(released, 10.0)


# --- the real command ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Policies and room for a ledger."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", KEY_A, LIMITS))
    return tmp_path


def ledger_of(folder: Path) -> Path:
    return folder / "gateway.db"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Ledger]:
    """The ledger, while no gateway holds it."""
    ledger = Ledger(f"sqlite:///{ledger_of(folder)}")
    await ledger.open()
    yield ledger
    await ledger.close()


async def books(folder: Path) -> tuple[int, int]:
    """Jobs counted and reservations without a job, read from a ledger no gateway holds; every counter is proven."""
    async with opened(folder) as ledger:
        assert await ledger.verify() == []
        rows = await ledger.usage("a", 0, 1e11)
        waiting = await ledger.jobless.all()
        return sum(row.jobs for row in rows), len(waiting)


async def left_behind(ledger: Ledger, name: str, *, sent: bool) -> None:
    """A create that a gateway began and was killed in."""
    claim = Claim("jobs/a//2026-11-23/", 1, 1000, OnSettle.KEEP, (), None)
    now = time.time()  # noqa: TID251 - what a gateway would have written
    digest = b"x" * 32
    new = NewReservation(
        name, "a", "main", "Veo3", "default", 0, 0, charge_failed=False, claims=(claim,), body_digest=digest,
        payload_digest=digest, idempotency_key=None, created_at=now,
                                                     repeats_for=24 * 3600.0,
    )  # fmt: skip
    await ledger.reserve(new, now)
    if sent:
        await ledger.mark_sent(name, now)


def damage_first_page(file: Path) -> None:
    file.write_bytes(b"\0" * 100 + file.read_bytes()[100:])


def damage_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(bytes(content))


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [damage_first_page, damage_middle, replace_by_folder])
async def test_le4_a_damaged_ledger_is_refused_at_the_start_with_the_reason(folder: Path, damage: object) -> None:
    async with opened(folder) as ledger:
        for number in range(50):
            await left_behind(ledger, f"create-{number}", sent=True)
    assert callable(damage)
    damage(ledger_of(folder))
    async with served(environment_of(folder, "http://127.0.0.1:1")) as gateway:
        assert await gateway.ends() == 2
        said = "".join(gateway.said)
        assert "cannot start" in said
        assert str(ledger_of(folder)) in said
        assert "listening" not in said
        assert "Traceback" not in said


async def test_kl1_kl2_a_killed_gateways_creates_are_released_or_doubted_at_the_next_start(folder: Path) -> None:
    async with opened(folder) as ledger:
        await left_behind(ledger, "unsent", sent=False)
        await left_behind(ledger, "sent", sent=True)
    async with FakeUpstream() as upstream:
        async with served(environment_of(folder, upstream.url)) as gateway:
            await received(upstream, *LIST)
            assert await gateway.ends(signal.SIGTERM) == 0
        assert upstream.creates == []
    async with opened(folder) as ledger:
        assert [(each.id, each.state) for each in await ledger.jobless.all()] == [("sent", "unknown")]
        assert await ledger.verify() == []


async def test_kl2_kl3_a_create_killed_before_its_answer_is_found_and_never_sent_again(folder: Path) -> None:
    async with UnrulyUpstream() as upstream:
        environment = environment_of(folder, upstream.url)
        async with served(environment) as gateway:
            upstream.go.clear()
            running = asyncio.ensure_future(gateway.client(KEY_A).create(headers=KEYED))
            await received(upstream, *CREATE)
            assert await gateway.ends(signal.SIGKILL) == -signal.SIGKILL
            with pytest.raises(httpx.TransportError):
                await running
        upstream.go.set()
        (request_id,) = upstream.jobs

        async with served(environment) as gateway:

            async def adopted() -> bool:
                shown = (await gateway.client(KEY_A).get(f"{Q}/requests")).json()
                return [each["request_id"] for each in shown["requests"]] == [request_id]

            await eventually(adopted)
            replay = await gateway.client(KEY_A).create(headers=KEYED)
            assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
            assert (await gateway.client(KEY_A).get(f"{Q}/requests/{request_id}")).status_code == 200
            assert await gateway.ends(signal.SIGTERM) == 0
        assert len(upstream.creates) == 1
    assert await books(folder) == (1, 0)


async def test_kl4_an_answered_create_survives_a_kill_and_is_replayed(folder: Path) -> None:
    async with FakeUpstream() as upstream:
        environment = environment_of(folder, upstream.url)
        async with served(environment) as gateway:
            first = await gateway.client(KEY_A).create(headers=KEYED)
            await gateway.ends(signal.SIGKILL)
        async with served(environment) as gateway:
            replay = await gateway.client(KEY_A).create(headers=KEYED)
            assert (replay.status_code, replay.content) == (200, first.content)
            usage = (await gateway.client(KEY_A).get("/gateway/v1/usage")).json()
            assert usage["month"]["jobs"] == 1
            await gateway.ends(signal.SIGKILL)
        assert len(upstream.creates) == 1
    assert await books(folder) == (1, 0)


async def test_sh1_sigterm_refuses_nobody_and_finishes_what_is_in_flight(folder: Path) -> None:
    async with FakeUpstream() as upstream:
        async with served(environment_of(folder, upstream.url, drain_delay="1")) as gateway:
            client = gateway.client(KEY_A)
            assert (await client.get(f"{Q}/models")).status_code == 200
            upstream.go.clear()
            running = asyncio.ensure_future(client.create())
            await received(upstream, *CREATE)
            gateway.process.send_signal(signal.SIGTERM)

            async def draining() -> bool:
                return (await gateway.ask_admin("/readyz")).status_code == 503

            await eventually(draining)
            during = [await client.get(f"{Q}/models") for _ in range(20)]
            assert {answer.status_code for answer in during} == {200}
            assert {answer.headers["connection"] for answer in during} == {"close"}
            assert (await gateway.ask_admin("/healthz")).status_code == 200
            await asyncio.sleep(1.2)
            upstream.go.set()
            finished = await running
            assert (finished.status_code, finished.headers["connection"]) == (200, "close")
            assert await gateway.ends() == 0
        assert len(upstream.creates) == 1
    assert await books(folder) == (1, 0)


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]], ids=["sigint", "twice"])
async def test_sh4_it_ends_cleanly_however_it_is_told(folder: Path, signals: list[signal.Signals]) -> None:
    async with FakeUpstream() as upstream:
        delay = "0" if len(signals) == 1 else "60"
        async with served(environment_of(folder, upstream.url, drain_delay=delay)) as gateway:
            assert (await gateway.client(KEY_A).create()).status_code == 200
            for number in signals:
                gateway.process.send_signal(number)
                await asyncio.sleep(0.2)
            assert await gateway.ends() == 0
            assert not [line for line in gateway.said if "Traceback" in line]
    assert await books(folder) == (1, 0)


async def test_sh5_with_upstream_down_it_is_ready_and_says_so(folder: Path) -> None:
    async with served(environment_of(folder, "http://127.0.0.1:1")) as gateway:
        ready = await gateway.ask_admin("/readyz?verbose")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        failed = await gateway.client(KEY_A).get(f"{Q}/models")
        assert (failed.status_code, failed.json()["code"]) == (502, "upstream_unreachable")
        said = [json.loads(line) for line in gateway.said if line.startswith("{")]
        assert "ledger created, there was none" in [line["event"] for line in said]
