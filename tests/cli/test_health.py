import asyncio
import socket
from pathlib import Path

import pytest

from gateway.cli.health import near
from tests.command_line import Shell
from tests.conftest import House, OpenHouse, team


@pytest.fixture
async def asked(shell: Shell, open_house: OpenHouse, tmp_path: Path) -> House:
    """A gateway, and a shell whose settings say where its admin listener is."""
    house: House = await open_house({"a.yaml": team("a", "key")})
    shell.environment["GATEWAY_ADMIN_PORT"] = house.running.admin_url.rpartition(":")[2]
    return house


async def test_a_ready_gateway_is_status_0(shell: Shell, asked: House) -> None:
    told = await shell.run_beside("health")
    assert (told.status, told.out, told.err) == (0, "ready\n", "")


async def test_a_draining_one_is_alive_and_not_ready(shell: Shell, asked: House) -> None:
    asked.gw.draining.set()
    told = await shell.run_beside("health")
    assert (told.status, told.out) == (1, "not ready: accepting\n")
    alive = await shell.run_beside("health", "--live")
    assert (alive.status, alive.out) == (0, "ok\n")


def test_where_nothing_listens_it_says_so(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = shell.run("health", "--admin-port", str(port))
    assert told.status == 1
    assert told.out.startswith(f"no answer from 127.0.0.1:{port}: ")


def test_one_that_does_not_answer_in_time_is_not_ready(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        told = shell.run("health", "--admin-port", str(port), "--timeout", "0.1")
    assert (told.status, told.out) == (1, f"no answer from 127.0.0.1:{port}: timed out\n")


async def test_what_speaks_no_http_is_not_ready(shell: Shell) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        told = await shell.run_beside("health", "--admin-port", str(port))
    assert (told.status, told.out.count("\n")) == (1, 1)
    assert told.out.startswith(f"no answer from 127.0.0.1:{port}: ")


def test_any_port_is_none(shell: Shell) -> None:
    told = shell.run("health", "--admin-port", "0")
    assert (told.status, told.out) == (2, "")
    assert "say which one with --admin-port" in told.err


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3"),
        ("localhost", "localhost"),
    ],
)
def test_every_address_is_reached_on_loopback(bound: str, reached: str) -> None:
    assert near(bound) == reached
