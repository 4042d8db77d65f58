"""One measurement: wrk against one server, and the CPU time its process tree spent meanwhile."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.servers import CPU_OF_LOAD, KEY, Server

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Load:
    """What is asked: a path or, by a Lua script, many; over so many connections."""

    path: str
    connections: int = 32
    script: str = ""


@dataclass(frozen=True)
class Result:
    """What came of it. Times in seconds; `cpu_us` is microseconds of CPU per request."""

    requests_per_second: float
    p50: float
    p99: float
    cpu_us: float
    errors: int


def measure(server: Server, load: Load, seconds: int, folder: Path) -> Result:
    """Run the load for `seconds` and account for what the server spent."""
    command = ["taskset", "-c", str(CPU_OF_LOAD), "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--latency"]
    command += ["-H", f"Authorization: Bearer {KEY}"]
    if load.script:
        script = folder / "load.lua"
        script.write_text(load.script)
        command += ["-s", str(script)]
    before = server.cpu_seconds()
    run = subprocess.run(
        [*command, server.url + load.path],
        check=True,
        capture_output=True,
        text=True,
    )
    spent = server.cpu_seconds() - before
    return _read(run.stdout, spent)


def _read(output: str, cpu_seconds: float) -> Result:
    requests = int(_find(r"(\d+) requests in", output))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Result(
        requests_per_second=float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        p50=_seconds(_find(r"50%\s+([\d.]+\w+)", output)),
        p99=_seconds(_find(r"99%\s+([\d.]+\w+)", output)),
        cpu_us=cpu_seconds / max(1, requests) * 1e6,
        errors=int(bad[1]) if bad else 0,
    )


def _find(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    assert match is not None, output
    return match[1]


def _seconds(text: str) -> float:
    return float(_find(r"([\d.]+)", text)) * _UNITS[_find(r"([a-z]+)", text)]
