"""The processes a run starts: pinned to a core, accounted with all their descendants, paused, ended."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

CPU_UNDER_TEST = "0"
CPU_OF_LOAD = "1"

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PATIENCE = 90.0
"""Seconds a server has to answer for the first time; LiteLLM takes most of a minute on a busy core."""


@dataclass(frozen=True)
class Command:
    """How a server is started: `probe` is asked until it answers 200 with `headers`."""

    arguments: Sequence[str]
    probe: str
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cpu: str = CPU_UNDER_TEST


@dataclass(frozen=True)
class Process:
    """A running server and all its descendants."""

    pid: int

    def cpu_seconds(self) -> float:
        """User and system time spent so far (proc(5): fields 14 and 15 of `stat`)."""
        return sum(_cpu_seconds(pid) for pid in self._tree())

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return sum(_resident(pid) for pid in self._tree())

    def pause(self) -> None:
        """Let it do nothing at all, so that it takes no time from the one being measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._tree():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _tree(self) -> list[int]:
        return list(_descendants(self.pid))


class Peak:
    """The largest resident memory while the block runs, looked at fifty times a second."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before = self.bytes = process.resident_bytes()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.bytes = max(self.bytes, self._process.resident_bytes())


@contextmanager
def started(command: Command, log: Path) -> Iterator[Process]:
    """Run the command until the block ends; raises RuntimeError with the end of its log if it does not come up."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["taskset", "-c", command.cpu, *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(log.parent)} | dict(command.environment),
        )
    process = Process(child.pid)
    try:
        if not _answers(command, child):
            raise RuntimeError(f"{command.arguments[0]} did not come up:\n{_end_of(log)}")
        yield process
    finally:
        process.resume()
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    """A loopback port that nobody listens on, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _answers(command: Command, child: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    request = urllib.request.Request(command.probe, headers=dict(command.headers))
    while time.monotonic() < deadline and child.poll() is None:
        with suppress(OSError), urllib.request.urlopen(request, timeout=5):
            return True
        time.sleep(0.02)
    return False


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _descendants(int(child))


def _cpu_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0
