import os
import subprocess
import sys
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
