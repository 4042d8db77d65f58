"""Which Python is measured, for the gateway and for peers that are written in Python: the fastest of this machine's.

A Python built without profile-guided optimisation, as version managers build theirs unless they are told otherwise,
takes a third longer for the same work than a distribution's or the one in the image. Who counts cores uses those.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_VENV = Path(sys.prefix) / "measured"
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"))
_NAMES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")

_WORK = """
import sys, time
if sys.version_info < (3, 11):
    raise SystemExit(1)
class Call:
    def __init__(self, name, size):
        self.name, self.size = name, size
async def answer(call):
    return {"name": call.name, "line": b"%s: %d" % (call.name.encode(), call.size)}
def work():
    began = time.process_time()
    for number in range(50_000):
        try:
            answer(Call(str(number), number)).send(None)
        except StopIteration as end:
            end.value["line"]
    return time.process_time() - began
print(min(work() for _ in range(5)), sys.version.split()[0])
"""


@cache
def python() -> str:
    """The Python to run what is measured: it has all that the gateway needs.

    `BENCH_PYTHON` names another one than the fastest.
    """
    chosen = os.environ.get("BENCH_PYTHON") or fastest()
    if Path(chosen).resolve() == Path(sys.executable).resolve():
        return sys.executable
    made = _VENV / "bin" / "python"
    make_venv(chosen, _VENV)
    for wanted in (("--require-hashes", "-r", str(ROOT / "requirements.lock")), ("--no-deps", "-e", str(ROOT))):
        if not install(_VENV, *wanted):
            raise RuntimeError(f"{chosen}: cannot install {' '.join(wanted)}")
    return str(made)


@cache
def fastest() -> str:
    """The path of this machine's fastest Python from 3.11 on, by a little work of the kind that a gateway does."""
    found = {path for name in _NAMES for place in _PLACES.split(os.pathsep) if (path := shutil.which(name, path=place))}
    times = {path: seconds for path in found if (seconds := _time_of(path)) is not None}
    return min(times, key=lambda path: times[path], default=sys.executable)


def make_venv(base: str, folder: Path) -> None:
    """A virtual environment of that Python, which needs no pip of its own."""
    subprocess.run((base, "-m", "venv", "--clear", "--without-pip", str(folder)), check=True)


def install(folder: Path, *wanted: str) -> bool:
    """Install into a virtual environment; whether that could be done."""
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", *wanted)
    return subprocess.run(pip, check=False, capture_output=True).returncode == 0


def version() -> str:
    """The version of what is measured."""
    shown = subprocess.run((python(), "-c", _WORK), check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


def _time_of(path: str) -> float | None:
    """Seconds the work takes; None where the file is no Python, or too old."""
    run = subprocess.run((path, "-c", _WORK), check=False, capture_output=True, text=True)
    return float(run.stdout.split()[0]) if run.returncode == 0 else None
