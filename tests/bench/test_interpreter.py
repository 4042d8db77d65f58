"""The fastest Python of the machine is found and can run the gateway's work."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import interpreter
from tests.bench.interpreter import fastest, install, make_venv, version


def test_the_fastest_is_a_python_that_the_gateway_runs_on() -> None:
    shown = subprocess.run(
        (fastest(), "-c", "import sys; print(sys.version_info >= (3, 11))"), check=True, capture_output=True
    )
    assert shown.stdout.strip() == b"True"


def test_what_is_no_python_or_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in (("python3", "exit 1"), ("python3.11", f'exec {sys.executable} "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(interpreter, "_PLACES", str(tmp_path))
    assert fastest.__wrapped__() == str(tmp_path / "python3.11")
    monkeypatch.setattr(interpreter, "_PLACES", str(tmp_path / "nothing"))
    assert fastest.__wrapped__() == sys.executable


def test_another_one_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_PYTHON", sys.executable)
    assert interpreter.python.__wrapped__() == sys.executable
    monkeypatch.setattr(interpreter, "python", lambda: sys.executable)
    assert version() == sys.version.split()[0]


def test_an_environment_is_made_without_a_pip_of_its_own(tmp_path: Path) -> None:
    make_venv(sys.executable, tmp_path / "made")
    assert (tmp_path / "made" / "bin" / "python").exists()
    assert not (tmp_path / "made" / "bin" / "pip").exists()
    (tmp_path / "nothing").mkdir()
    assert not install(tmp_path / "made", "--no-deps", str(tmp_path / "nothing"))
    shutil.rmtree(tmp_path / "made")
