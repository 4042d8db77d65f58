"""Programs and libraries that a test needs and a machine may lack."""

import importlib
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest


def require(*programs: str, root: bool = False) -> None:
    """Skip the test where one is not installed, or where this is not root and must be. In CI that is a failure."""
    lacking = [f"needs {program}" for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        lacking.append("needs root")
    if lacking:
        _give_up(", ".join(lacking))


def require_library(name: str) -> ModuleType:
    """The library, or the same end: those of the extra `chart` are large, and `make test` does without them."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        _give_up(f"needs {name}: make .venv/chart")
        raise


def beside_python(name: str) -> str:
    """A program that was installed with the extra `chart`, or the same end."""
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        _give_up(f"needs {name}: make .venv/chart")
    return str(found)


def _give_up(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why, allow_module_level=True)
