import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import __version__
from gateway.__main__ import main

ROOT = Path(__file__).parents[1]


def test_main_runs_a_command_and_gives_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(ROOT / "policies")]) == 0
    assert "3 teams" in capsys.readouterr().out


def test_the_module_can_be_run() -> None:
    ended = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"gmi-gateway {__version__}\n"


def test_a_terminal_that_cannot_show_a_character_gets_a_mark_instead() -> None:
    command = [sys.executable, "-m", "gateway", "--help"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "usage: gmi-gateway COMMAND [OPTION?]" in ended.stdout


def test_a_reader_that_has_seen_enough_causes_no_complaint() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gateway", "schema"]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def ignores(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return bool(int(status.partition("SigIgn:")[2].split()[0], 16) >> (number - 1) & 1)


def test_sh4_a_gateway_that_is_still_loading_bears_sighup_and_ends_cleanly_upon_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "serve", "--policies", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        deadline = time.monotonic() + 10
        while not ignores(process, signal.SIGHUP) and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10)[1] == b""
    assert process.returncode == 0
