"""Peers from the package registries, each in a folder of its own under `.venv/peers`, kept between runs."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.interpreter import fastest, install, make_venv

CACHE = Path(sys.prefix) / "peers"


def install_python(name: str, requirement: str) -> Path | None:
    """The folder of commands of a virtual environment that holds the requirement; None where it cannot be had."""
    folder, base = CACHE / name, fastest()
    if not _holds(folder, f"{requirement} {base}"):
        make_venv(base, folder)
        print(f"installing: {requirement}", file=sys.stderr)
        if not install(folder, requirement):
            return None
        _mark(folder).write_text(f"{requirement} {base}")
    return folder / "bin"


def install_node(name: str, package: str, version: str) -> Path | None:
    """The folder of a Node package; None where it cannot be had."""
    folder = CACHE / name
    wanted = f"{package}@{version}"
    if not _holds(folder, wanted):
        folder.mkdir(parents=True, exist_ok=True)
        npm = ("npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", wanted)
        if not (shutil.which("npm") and _run(npm)):
            return None
        _mark(folder).write_text(wanted)
    return folder / "node_modules" / package


def _mark(folder: Path) -> Path:
    """The file that says what was installed, and that it was to the end."""
    return folder / "installed"


def _holds(folder: Path, requirement: str) -> bool:
    return _mark(folder).exists() and _mark(folder).read_text() == requirement


def _run(command: tuple[str, ...]) -> bool:
    print(f"installing: {command[-1]}", file=sys.stderr)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
