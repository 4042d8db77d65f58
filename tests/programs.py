"""Programs that a test needs and a machine may lack."""

import os
import shutil

import pytest


def require(*programs: str, root: bool = False) -> None:
    """Skip the test where one is not installed, or where this is not root and it must be. In CI that is a failure."""
    lacking = [f"needs {program}" for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        lacking.append("needs root")
    if not lacking:
        return
    if os.environ.get("CI"):
        pytest.fail(", ".join(lacking))
    pytest.skip(", ".join(lacking))
