"""One bad file per message: the exact text, with line and column, of everything that can be wrong."""

from pathlib import Path

import pytest

from gateway.core.nodes import Severity
from gateway.policies import load

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.expected"))


def case_path(name: str) -> Path:
    """The case's file, or its folder of files, relative to the folder of all."""
    return Path(name) if (BAD / name).is_dir() else Path(f"{name}.yaml")


def test_every_file_is_a_case() -> None:
    assert {path.stem for path in BAD.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_po1_every_problem_is_named_with_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    loaded = load(case_path(name))
    assert "".join(f"{problem}\n" for problem in loaded.problems) == (BAD / f"{name}.expected").read_text()
    assert len(loaded.problems) > 0
    only_warnings = all(problem.severity is Severity.WARNING for problem in loaded.problems)
    assert (loaded.policy is not None) == only_warnings == name.startswith("warn-")


@pytest.mark.parametrize("name", CASES)
def test_no_problem_quotes_a_key(name: str) -> None:
    text = (BAD / f"{name}.expected").read_text()
    assert "gmigw_a" not in text
    assert "secret.secret" not in text
    assert "s3cr3t" not in text
    assert "\x1b" not in text
