"""A whole process: its listening lines, its signals, its exit status."""

import asyncio
import io
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.server.listener import Bind, bind_socket
from gateway.server.run import Drain, Ending, run
from gateway.server.tls import TLSFiles
from tests.server.conftest import Answer, App, get, parse, render

ROOT = Path(__file__).parents[2]
CHILD = """
import asyncio, logging, sys
from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind, bind_socket
from gateway.server.run import Drain, Ending, run, run_in_loop
from tests.server.conftest import render, respond

logging.basicConfig(level=logging.INFO, stream=sys.stdout)

async def app(scope, receive, send):
    print("called", scope["path"], flush=True)
    await asyncio.sleep(float(scope["query_string"] or 0))
    await respond(send, 200, scope["path"].encode())

async def main():
    binds = [Bind(app, bind_socket("127.0.0.1", 0), render, label) for label in ("public", "admin")]
    drain = Drain(delay=float(sys.argv[1]), timeout=float(sys.argv[2]))
    said = lambda what: lambda: print(what, flush=True)
    ending = Ending()
    ending.on_reload(said("reloaded"))
    return await run(binds, drain, ending, on_drain=said("draining now"), announce=sys.stderr)

sys.exit(run_in_loop(main()))
"""


class Served:
    """A process that serves, told apart by its two addresses."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.sockets: list[socket.socket] = []
        assert process.stderr
        lines = [process.stderr.readline() for _ in range(2)]
        found = [re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+) \((\w+)\)\n", line) for line in lines]
        self.ports = {match[2]: int(match[1]) for match in found if match}

    def connect(self, label: str = "public") -> socket.socket:
        self.sockets.append(socket.create_connection(("127.0.0.1", self.ports[label]), timeout=5))
        return self.sockets[-1]

    def ask(self, path: str = "/", label: str = "public") -> Answer:
        with self.connect(label) as sock:
            sock.sendall(get(path))
            return answer_on(sock)

    def says(self, line: str) -> None:
        assert self.process.stdout
        assert line in self.process.stdout.readline()

    def ends(self) -> tuple[int, str]:
        """The exit status, and what was said on stderr until then."""
        _, said = self.process.communicate(timeout=10)
        return self.process.returncode, said


def answer_on(sock: socket.socket) -> Answer:
    raw = b""
    while not (found := parse(raw)) or len(found[0].body) < int(found[0].headers["content-length"]):
        more = sock.recv(65536)
        if not more:
            raise ConnectionError("closed")
        raw += more
    return found[0]


Start = Callable[..., Served]


@pytest.fixture
def start() -> Iterator[Start]:
    all_served: list[Served] = []

    def one(delay: float = 0, timeout: float = 5, **options: Any) -> Served:
        command = [sys.executable, "-c", CHILD, str(delay), str(timeout)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        all_served.append(Served(subprocess.Popen(command, **pipes, **options)))
        return all_served[-1]

    yield one
    for served in all_served:
        served.process.kill()
        served.process.communicate()
        for sock in served.sockets:
            sock.close()


def test_one_line_per_listener_once_both_accept_and_a_clean_end(start: Start) -> None:
    served = start()
    assert list(served.ports) == ["public", "admin"]
    assert [served.ask("/a").body, served.ask("/b", "admin").body] == [b"/a", b"/b"]
    served.process.send_signal(signal.SIGINT)
    assert served.ends() == (0, "")


def test_sh1_sigterm_goes_on_accepting_then_finishes_what_is_in_flight(start: Start) -> None:
    served = start(delay=0.5)
    slow = served.connect()
    slow.sendall(get("/slow?1"))
    served.says("called /slow")
    served.process.send_signal(signal.SIGTERM)
    served.says("draining now")
    during = served.ask("/during"), served.ask("/ready", "admin")
    assert [(answer.status, answer.closes) for answer in during] == [(200, True), (200, True)]
    finished = answer_on(slow)
    assert (finished.body, finished.closes) == (b"/slow", True)
    assert served.ends() == (0, "")
    with pytest.raises(ConnectionRefusedError):
        served.connect()


def test_sh4_a_second_signal_ends_at_once_and_says_what_it_cost(start: Start) -> None:
    served = start(delay=60, timeout=60)
    slow = served.connect()
    slow.sendall(get("/slow?60"))
    served.says("called /slow")
    served.process.send_signal(signal.SIGTERM)
    served.says("draining now")
    served.process.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionError):
        answer_on(slow)
    assert served.ends() == (1, "")


def test_sh4_a_second_signal_ends_the_wait_for_what_is_in_flight(start: Start) -> None:
    served = start(delay=0, timeout=60)
    slow = served.connect()
    slow.sendall(get("/slow?60"))
    served.says("called /slow")
    served.process.send_signal(signal.SIGTERM)
    served.says("draining now")
    with pytest.raises(ConnectionError):
        while True:  # until the delay is over, and nothing but the call in flight is waited for
            served.connect()
    served.process.send_signal(signal.SIGTERM)
    assert served.ends() == (1, "")


def test_sh4_two_signals_with_nothing_in_flight_are_still_a_clean_end(start: Start) -> None:
    served = start(delay=60)
    served.process.send_signal(signal.SIGTERM)
    served.says("draining now")
    served.process.send_signal(signal.SIGTERM)
    assert served.ends() == (0, "")


def test_sh1_the_drain_ends_at_its_timeout(start: Start) -> None:
    served = start(timeout=0.3)
    slow = served.connect()
    slow.sendall(get("/slow?60"))
    served.says("called /slow")
    began = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    assert served.ends() == (1, "")
    assert time.monotonic() - began < 5


def test_sh1_the_admin_listener_finishes_though_the_public_one_used_up_the_time(start: Start) -> None:
    served = start(timeout=0.1)
    stuck, scrape = served.connect(), served.connect("admin")
    stuck.sendall(get("/stuck?60"))
    served.says("called /stuck")
    served.process.send_signal(signal.SIGTERM)
    served.says("draining now")
    scrape.sendall(get("/metrics?1.3"))
    assert answer_on(scrape).status == 200
    assert served.ends() == (1, "")


def test_sighup_reloads_and_nothing_else(start: Start) -> None:
    served = start()
    served.process.send_signal(signal.SIGHUP)
    served.says("reloaded")
    assert served.ask().status == 200


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_rs2_connections_beyond_the_descriptors_are_refused_without_a_busy_loop_and_it_recovers(start: Start) -> None:
    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))

    served = start(preexec_fn=few_descriptors)
    flood = [served.connect(label) for label in ("public", "admin") for _ in range(60)]
    before = cpu_seconds(served.process.pid)
    time.sleep(1)
    assert cpu_seconds(served.process.pid) - before < 0.3
    for sock in flood:
        sock.close()
    time.sleep(0.2)
    assert served.ask().status == 200


async def test_sh4_a_signal_before_the_listeners_ends_the_start_and_sighup_does_nothing_to_it(app: App) -> None:
    ending = Ending()
    for number in (signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    await asyncio.wait_for(ending.asked.wait(), 5)
    sock, announced = bind_socket("127.0.0.1", 0), io.StringIO()
    address = sock.getsockname()
    assert await run([Bind(app, sock, render)], Drain(0, 0), ending, on_drain=app.calls.clear, announce=announced) == 0
    assert announced.getvalue() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_a_listener_that_cannot_start_leaves_none_open(app: App) -> None:
    good, bad = bind_socket("127.0.0.1", 0), bind_socket("127.0.0.1", 0)
    addresses = [good.getsockname(), bad.getsockname()]
    nowhere = TLSFiles(Path("/nowhere/tls.crt"), Path("/nowhere/tls.key"))
    binds = [Bind(app, good, render), Bind(app, bad, render, "admin", tls=nowhere)]
    with pytest.raises(FileNotFoundError):
        await run(binds, Drain(0, 0), Ending(), on_drain=app.calls.clear, announce=sys.stderr)
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


CHURN = """
import resource, sys
from gateway.server.run import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory(128 << 20)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(8):
    before = faults()
    bodies = [b"x" * (number << 20) for number in range(1, 9)]
    del bodies
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has what is set")
def test_the_memory_of_large_bodies_serves_the_next_ones() -> None:
    took = [int(subprocess.check_output([sys.executable, "-c", CHURN, how])) for how in ("keep", "give back")]
    assert took[0] < 100
    assert took[1] > 1000, "glibc does so by itself; then there is nothing to set"
