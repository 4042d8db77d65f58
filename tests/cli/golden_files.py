"""Golden files: what goes in, a line of dashes, what comes out with its exit status. One file per case."""

from dataclasses import dataclass
from pathlib import Path

from tests.command_line import Outcome

DASHES = "-----\n"


@dataclass(frozen=True, slots=True)
class Golden:
    """One case: its parts before the last line of dashes, and the output expected."""

    name: str
    parts: tuple[str, ...]
    expected: str

    def __repr__(self) -> str:
        return self.name


def goldens(command: str) -> list[Golden]:
    """Every case of a command."""
    found = []
    for path in sorted((Path(__file__).parent / "goldens" / command).glob("*.txt")):
        *parts, expected = path.read_text().split(DASHES)
        found.append(Golden(path.stem, tuple(parts), expected))
    return found


def shown(outcome: Outcome) -> str:
    """A command's output as golden files have it."""
    return f"{outcome.out}{outcome.err}exit {outcome.status}\n"
