"""Processes are accounted with their descendants, paused, and ended."""

import sys
import time
from pathlib import Path

import pytest

from tests.bench.processes import Command, Peak, Process, free_port, started
from tests.bench.stalls import watch
from tests.bench.texts import write_file

SERVER = """
import sys, http.server, subprocess
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
try:
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
finally:
    child.kill()
"""
# A TERM ends the server by an exception, so that its child ends too.
ENDING = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"


def server(port: int) -> Command:
    arguments = (sys.executable, "-c", ENDING + SERVER, str(port))
    return Command(arguments, f"http://127.0.0.1:{port}/", cpu="0")


def spent_within(process: Process, seconds: float) -> float:
    """CPU seconds until some were spent, or until the time is over."""
    before, deadline = process.cpu_seconds(), time.monotonic() + seconds
    while process.cpu_seconds() - before < 0.1 and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.cpu_seconds() - before


def test_a_child_counts_and_stands_still_with_its_parent(tmp_path: Path) -> None:
    with started(server(free_port()), tmp_path / "log") as process:
        assert spent_within(process, 20) >= 0.1
        with Peak(process) as peak:
            assert peak.before > 5_000_000
        assert peak.bytes >= peak.before
        process.pause()
        assert spent_within(process, 0.3) <= 0.02
        process.resume()
        assert spent_within(process, 20) >= 0.1


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    command = Command((sys.executable, "-c", "raise SystemExit('no such port')"), f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(RuntimeError, match="no such port"), started(command, tmp_path / "log"):
        pass


def test_a_prober_asks_while_the_command_runs(tmp_path: Path) -> None:
    port = free_port()
    with started(server(port), tmp_path / "log"):
        seen = watch(f"http://127.0.0.1:{port}", (sys.executable, "-c", "import time; time.sleep(0.3)"))
    assert seen.seconds >= 0.3
    assert 0 < seen.usual <= seen.longest <= seen.seconds


def test_a_place_without_a_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="port"):
        write_file("Caddyfile", tmp_path / "Caddyfile", upstream="http://127.0.0.1:1", tls="")
