"""How long the gateway's loop stands still, seen from outside: a prober asks every millisecond meanwhile."""

import http.client
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

PACE = 0.001


@dataclass(frozen=True)
class Stall:
    """What was done took `seconds`; the slowest answer meanwhile took `longest`, the middle one `usual`."""

    seconds: float
    longest: float
    usual: float


def watch(admin_url: str, command: Sequence[str]) -> Stall:
    """Run the command beside a prober of `/healthz`. Raises CalledProcessError if it fails."""
    host = urlsplit(admin_url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=30)
    _ask(connection)
    started = time.perf_counter()
    waits = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            asked = time.perf_counter()
            _ask(connection)
            waits.append(time.perf_counter() - asked)
            time.sleep(max(0.0, PACE - waits[-1]))
    seconds = time.perf_counter() - started
    connection.close()
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, list(command))
    return Stall(seconds, max(waits), sorted(waits)[len(waits) // 2])


def _ask(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
