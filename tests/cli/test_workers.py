"""`serve --workers 2`: two processes, one gateway."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

from gateway.server.listener import bind_socket
from tests.conftest import Q, team
from tests.served import Served, environment_of, eventually, served

WITHOUT_SIMULATOR = """
from gateway.__main__ import main
from gateway.cli import workers

workers._simulate = lambda *_: 1
exit(main())
"""


def children_of(gateway: Served) -> dict[int, int]:
    """The processes whose parent is the one that was started, with how many threads each has."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            threads = len(list((folder / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == gateway.process.pid and fields[0] != "Z":
            found[int(folder.name)] = threads
    return found


def workers_of(gateway: Served) -> list[int]:
    """The processes that serve: the simulator has no threads."""
    return sorted(pid for pid, threads in children_of(gateway).items() if threads > 1)


async def counted(gateway: Served, series: str) -> float:
    """The value of one series, as whichever worker answers tells it."""
    text = (await gateway.ask_admin("/metrics")).text
    found = re.search(rf"^{re.escape(series)} (.*)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def ask_for_usage(gateway: Served) -> httpx.Response:
    """On a connection of its own: one that was kept may lead to a worker that is gone."""
    return await gateway.client("key").get("/gateway/v1/usage", headers={"Connection": "close"})


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "films.yaml").write_text(team("films", "key", "limits: [10 jobs per day]"))
    return environment_of(tmp_path, "https://unused.example", simulate="on", workers="2")


async def test_two_workers_keep_one_limit_count_together_and_end_together(environment: dict[str, str]) -> None:
    async with served(environment) as gateway:
        assert len(workers_of(gateway)) == 2
        clients = [gateway.client("key") for _ in range(40)]
        answers = await asyncio.gather(*(client.create("seedream-5.0-lite") for client in clients))
        assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 30
        series = 'gateway_requests_total{code="%s",method="POST",route="/requests",team="films"}'
        for _ in range(4):
            assert await counted(gateway, series % 200) == 10
            assert await counted(gateway, series % 429) == 30
        listed = [await client.get(f"{Q}/requests") for client in clients[:6]]
        assert {answer.json()["total"] for answer in listed} == {10}
        denials = (await gateway.ask_admin("/api/denials?limit=1000")).json()["denials"]
        assert len(denials) == 30
        assert await gateway.ends(signal.SIGTERM) == 0
    assert sum(line.startswith("listening on ") for line in gateway.said) == 2


async def test_a_worker_that_is_killed_takes_nothing_with_it(environment: dict[str, str], tmp_path: Path) -> None:
    environment["TMPDIR"] = str(tmp_path)
    async with served(environment) as gateway:
        for _ in range(20):
            assert (await ask_for_usage(gateway)).status_code == 200
        series = 'gateway_requests_total{code="200",method="GET",route="/gateway/v1/usage",team="films"}'
        assert await counted(gateway, series) == 20
        first = workers_of(gateway)
        os.kill(first[0], signal.SIGKILL)

        async def replaced() -> bool:
            return len(workers_of(gateway)) == 2 and first[0] not in workers_of(gateway)

        await eventually(replaced, 30)
        for _ in range(20):
            assert (await ask_for_usage(gateway)).status_code == 200
        assert await counted(gateway, series) == 40
        await eventually(partial(nothing_is_left_of_the_dead, tmp_path))
        assert await gateway.ends(signal.SIGTERM) == 0


async def test_a_reload_is_over_when_every_worker_has_done_it(environment: dict[str, str]) -> None:
    policy = Path(environment["GATEWAY_POLICIES"]) / "films.yaml"
    async with served(environment) as gateway:
        for key in ("second", "third", "fourth"):
            policy.write_text(team("films", key))
            reloaded = await gateway.http.post(f"{gateway.admin}/reload")
            assert (reloaded.status_code, reloaded.json()["reloaded"]) == (200, True)
            answers = await asyncio.gather(*(gateway.client(key).get(f"{Q}/models") for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
        assert await gateway.ends(signal.SIGTERM) == 0


async def test_a_simulator_that_is_killed_ends_the_gateway(environment: dict[str, str]) -> None:
    async with served(environment) as gateway:
        (simulator,) = [pid for pid, threads in children_of(gateway).items() if threads == 1]
        os.kill(simulator, signal.SIGKILL)
        assert await gateway.ends() == 1
    assert any('"simulator ended"' in line for line in gateway.said)


async def test_a_port_is_not_kept_by_a_parent_whose_workers_drain(environment: dict[str, str]) -> None:
    async with served(environment) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.public).port)
        writer.write(b"GET /gateway/v1/usage HTTP/1.1\r\n")  # in flight until it has been sent whole
        await asyncio.sleep(0.5)
        gateway.process.send_signal(signal.SIGTERM)

        async def refuses() -> bool:
            try:
                await asyncio.wait_for(gateway.client("key").get("/gateway/v1/usage"), 1)
            except httpx.ConnectError:
                return True
            except (TimeoutError, httpx.TransportError):
                pass
            return False

        await eventually(refuses, 2)
        writer.write(b"Host: a\r\nAuthorization: Bearer key\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert await gateway.ends() == 0


async def both_are_free(gateway: Served) -> bool:
    """Whether another gateway could listen where this one does."""
    for url in (gateway.public, gateway.admin):
        try:
            bind_socket("127.0.0.1", httpx.URL(url).port or 0).close()
        except OSError:
            return False
    return True


async def test_without_their_parent_workers_free_both_ports_at_once_and_finish_what_is_in_flight(
    environment: dict[str, str],
) -> None:
    environment |= {"GATEWAY_DRAIN_DELAY": "20", "GATEWAY_DRAIN_TIMEOUT": "20"}
    body = b'{"model": "seedream-5.0-lite", "payload": {"prompt": "a"}}'
    async with served(environment) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.public).port)
        writer.write(b"POST %s/requests HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n" % Q.encode())
        writer.write(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{" % len(body))
        waits = gateway.client("key")
        waiting = asyncio.ensure_future(waits.create(headers={"Prefer": "wait=30"}))
        await asyncio.sleep(0.5)
        workers = workers_of(gateway)
        gateway.process.kill()
        await eventually(partial(both_are_free, gateway), 2)
        for pid in workers:
            os.kill(pid, signal.SIGTERM)  # as systemd does with what a dead process left
        for name, url in (("PORT", gateway.public), ("ADMIN_PORT", gateway.admin)):
            environment[f"GATEWAY_{name}"] = str(httpx.URL(url).port)
        async with served(environment) as next_one:
            assert (next_one.public, next_one.admin) == (gateway.public, gateway.admin)
            assert (await waiting).status_code == 200
            writer.write(body[1:])
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            assert await next_one.ends(signal.SIGKILL) == -signal.SIGKILL
        writer.close()
    assert sum('"parent ended"' in line for line in gateway.said) == 2


def test_a_simulator_that_does_not_start_is_said(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", WITHOUT_SIMULATOR, "serve"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (told.returncode, "cannot start\nthe simulator did not start" in told.stderr) == (2, True)


def files_of_workers(folder: Path) -> list[Path]:
    return [path for path in folder.glob("gmi-gateway-*/*") if path.suffix != ".new"]


async def nothing_is_left_of_the_dead(folder: Path) -> bool:
    """Two have a socket, who live, and only they have words of their own."""
    paths = files_of_workers(folder)
    names = {path.stem for path in paths} - {"all"}
    return len(names) == 2 and {path.name for path in paths if not path.suffix} == names


async def test_a_port_that_is_taken_twice_is_said_before_there_are_workers(environment: dict[str, str]) -> None:
    environment["GATEWAY_ADMIN_PORT"] = environment["GATEWAY_PORT"] = "18473"
    assert "are both 18473" in await why_not(environment)


async def test_policies_that_cannot_be_used_are_named_once(environment: dict[str, str]) -> None:
    (Path(environment["GATEWAY_POLICIES"]) / "bad.yaml").write_text("team: 7\n")
    assert "bad.yaml:1:7" in await why_not(environment)


async def why_not(environment: dict[str, str]) -> str:
    async with served(environment) as gateway:
        assert await gateway.ends() == 2
    told = "".join(gateway.said)
    assert told.count("cannot start") == 1
    return told
