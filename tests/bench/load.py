"""Closed loop: wrk keeps so many connections busy, and what the server spent meanwhile is read from the system."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import CPU_OF_LOAD, Peak, Process
from tests.bench.texts import write_file
from tests.bench.upstream import MODEL, Q, Upstream

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_TIMEOUT = 60
"""Seconds after which wrk gives an answer up; the slowest peer needs several at 256 connections."""


class Unreachable(Exception):  # noqa: N818 - a state of the server, which may not be an error of ours
    """Nobody answers at the server's address."""


@dataclass(frozen=True)
class Ask:
    """One request. `path` follows `Q`; a POST is a create, of so many MiB or of a small body."""

    method: str
    path: str
    key: str
    mebibytes: int | None = None


@dataclass(frozen=True)
class Target:
    """A server as the load sees it. `prefix` stands for `Q` in its paths."""

    name: str
    process: Process
    url: str
    prefix: str = Q
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Spent:
    """What wrk saw. Times in seconds."""

    requests: int
    per_second: float
    p50: float
    p99: float
    errors: int


@dataclass(frozen=True)
class Result:
    """One measurement of one server. Times in seconds, memory in bytes, CPU in microseconds a request.

    `calls` is upstream's requests per request; `growth` how far memory rose above what it was before.
    """

    requests: int
    per_second: float
    p50: float
    p99: float
    errors: int
    cpu_us: float
    resident: int
    growth: int
    calls: float


class Load:
    """Requests asked in turn, over so many connections."""

    def __init__(self, asks: Sequence[Ask], connections: int, folder: Path) -> None:
        self._asks = asks
        self._connections = connections
        self._folder = folder
        self._next = 0  # where the next run goes on: a job just polled must not be the next one's first

    def warm(self, target: Target, requests: int) -> None:
        """Ask at least so often, for whole seconds, without measuring."""
        asked = 0
        while asked < requests:
            asked += max(1, self._ask(target, 1).requests)

    def run(self, target: Target, upstream: Upstream, seconds: float) -> Result:
        """Measure one server for whole seconds."""
        calls, spent_before = upstream.calls(), target.process.cpu_seconds()
        with Peak(target.process) as peak:
            seen = self._ask(target, max(1, round(seconds)))
        spent = target.process.cpu_seconds() - spent_before
        requests = max(1, seen.requests)
        return Result(
            requests=seen.requests,
            per_second=seen.per_second,
            p50=seen.p50,
            p99=seen.p99,
            errors=seen.errors,
            cpu_us=spent / requests * 1e6,
            resident=target.process.resident_bytes(),
            growth=peak.bytes - peak.before,
            calls=(upstream.calls() - calls - 1) / requests,
        )

    def _ask(self, target: Target, seconds: int) -> Spent:
        requests = self._folder / "requests.txt"
        requests.write_text("\n".join(_line(ask, target.prefix) for ask in self._asks))
        headers = "".join(f', "{name}: {value}"' for name, value in target.headers.items())
        values = {"requests": requests, "headers": headers, "model": MODEL, "next": self._next}
        script = write_file("requests.lua", self._folder / "requests.lua", **values)
        command = ["taskset", "-c", CPU_OF_LOAD, "wrk", "-t1", f"-c{self._connections}", f"-d{seconds}s"]
        command += ["--timeout", f"{_TIMEOUT}s", "--latency", "-s", str(script), target.url]
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        if run.returncode:
            raise Unreachable(f"{target.name} cannot be asked: {run.stdout}{run.stderr}")
        seen = read_wrk(run.stdout)
        self._next = (self._next + seen.requests) % len(self._asks)
        return seen


def read_wrk(output: str) -> Spent:
    """What wrk printed. An answer that is no 2xx or 3xx, or none at all, is an error."""
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    return Spent(
        requests=int(_find(r"(\d+) requests in", output)),
        per_second=float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        p50=_seconds(_find(r"50%\s+([\d.]+\w+)", output)),
        p99=_seconds(_find(r"99%\s+([\d.]+\w+)", output)),
        errors=(int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0),
    )


def _line(ask: Ask, prefix: str) -> str:
    return f"{ask.method} {prefix}{ask.path} {ask.key} {'-' if ask.mebibytes is None else ask.mebibytes}"


def _find(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    assert match is not None, output
    return match[1]


def _seconds(text: str) -> float:
    return float(_find(r"([\d.]+)", text)) * _UNITS[_find(r"([a-z]+)", text)]
