"""Creates whose client leaves, that get lost on the way, or that nobody ever hears of again: rows AC3, AC4 and AC6."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.core.lifecycle import State
from tests.conftest import team
from tests.dated import OpenDated, open_dated
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS
from tests.faults.unruly import CREATE, LIST, UnrulyUpstream, reset, sending
from tests.faults.wire import KEY_A, Wire, draft, post
from tests.postgres import postgres
from tests.scripted_upstream import Connection, response
from tests.served import Served, eventually
from tests.site import NOTHING, RUNNING, Site, database, received, site_at

__all__ = ["database", "open_dated", "postgres"]

KEYED = {"Idempotency-Key": "k"}
POLICIES = {"a.yaml": team("a", KEY_A, LIMITS)}


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_at(tmp_path, database, POLICIES, UnrulyUpstream()) as site:
        yield site


async def metric(gateway: Served, name: str) -> str:
    lines = (await gateway.ask_admin("/metrics")).text.splitlines()
    return next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} "))


async def test_ac3_a_create_whose_client_hangs_up_is_completed_and_owned(site: Site) -> None:
    gateway = await site.start(create_timeout="60")
    client = gateway.client(KEY_A)
    site.upstream.go.clear()
    address = urlsplit(gateway.public)
    wire = Wire(*await asyncio.open_connection(address.hostname, address.port))
    await wire.send(post(draft(), "Idempotency-Key: k"))
    await received(site.upstream, *CREATE)
    wire.writer.transport.abort()
    for _ in range(3):  # each a turn of the gateway's loop, in which it hears of those that hung up before
        assert (await gateway.ask_admin("/healthz")).status_code == 200
    assert await site.states() == {State.SENT}
    site.upstream.go.set()
    await site.all_clear()
    (request_id,) = site.upstream.jobs
    assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
    replay = await client.create(content=draft(), headers=KEYED)
    assert (replay.status_code, replay.json()["request_id"]) == (200, request_id)
    assert replay.headers["idempotency-replayed"] == "true"
    assert len(site.upstream.creates) == 1
    assert await site.books() == RUNNING
    await site.verify()


async def test_ac4_a_create_that_met_no_upstream_was_not_sent_and_costs_nothing(site: Site) -> None:
    gateway = await site.start()
    client = gateway.client(KEY_A)
    assert (await client.get(f"{Q}/models/Veo3")).status_code == 200
    await site.upstream._server.__aexit__(None, None, None)
    refused = await client.create(headers=KEYED)
    assert (refused.status_code, refused.json()["code"]) == (502, "upstream_unreachable")
    assert (await site.waiting(), await site.books()) == ([], NOTHING)
    await site.verify()


async def test_ac4_a_create_that_broke_off_while_it_was_sent_is_held(site: Site) -> None:
    async def cut_while_reading(connection: Connection) -> None:
        await connection.reader.readexactly(1000)
        connection.reset()

    gateway = await site.start()
    client = gateway.client(KEY_A)
    assert (await client.get(f"{Q}/models/Veo3")).status_code == 200
    site.upstream._server._scripts = (cut_while_reading,)
    for connection in site.upstream._server.connections:
        connection.reset()
    lost = await client.create(payload={"prompt": "x" * 2**19}, headers=KEYED)
    assert (lost.status_code, lost.json()["code"]) == (504, "outcome_unknown")
    assert (await site.states(), await site.books()) == ({State.UNKNOWN}, RUNNING)
    assert (await client.create(payload={"prompt": "x" * 2**19}, headers=KEYED)).status_code == 409
    await site.verify()


async def test_ac6_what_is_never_found_out_stays_charged_and_is_shown(open_dated: OpenDated) -> None:
    dated = await open_dated(1_795_435_200.0, POLICIES)
    site = dated.site
    site.upstream.scripts |= {CREATE: reset, LIST: sending(response(b'{"requests":"many"}'))}
    lost = await dated.client(key=KEY_A).create(headers=KEYED)
    assert (lost.status_code, lost.json()["code"]) == (504, "outcome_unknown")
    await dated.advance(25 * 24 * 3600)

    async def given_up() -> bool:
        return any("create stays unknown" in line for gateway in site.started for line in gateway.said)

    await eventually(given_up, 20)
    assert await site.states() == {State.UNKNOWN}
    assert await site.books() == RUNNING | {"slots": 0}
    for gateway in site.started:
        assert await metric(gateway, 'gateway_reservations_open{state="unknown"}') == "1.0"
        assert float(await metric(gateway, "gateway_reservation_age_max_seconds")) > 24 * 24 * 3600
    await site.verify()
