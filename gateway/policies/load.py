"""A folder of policy files, or one file, to policies."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from gateway.core.nodes import Mark, Node, Problem, Report
from gateway.core.parse import parse
from gateway.core.policy import PolicySet
from gateway.policies.files import PolicyFile, Reading, read_settled
from gateway.policies.yaml_nodes import compose


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files say: the policies, or None where any problem is an error.

    `readable` is False where a file or the folder itself could not be read. `files` are what was read, and `state`
    tells this state of them from any other, good or bad.
    """

    policy: PolicySet | None
    problems: tuple[Problem, ...]
    readable: bool
    files: tuple[PolicyFile, ...]
    state: object


def load(path: Path, known_models: AbstractSet[str] | None = None, now: float | None = None) -> Loaded:
    """Read and parse the files at `path`; `known_models` is the catalogue, `now` the time, to check them against.

    Blocks on the disk. Never raises for what the files are or hold: that is in `problems`.
    """
    return parse_reading(read_settled(path), known_models, now)


def parse_reading(reading: Reading, known_models: AbstractSet[str] | None = None, now: float | None = None) -> Loaded:
    """The policies of files already read."""
    report = Report(list(reading.problems))
    readable = not report.has_errors
    roots = [root for file in reading.files if (root := compose_file(file, report)) is not None]
    parsed = parse(roots, reading.version, known_models, report.problems, now)
    while roots:  # one after the other: to free the nodes of a thousand files at once halts every call for 20 ms
        roots.pop()
    return Loaded(parsed.policy, parsed.problems, readable, reading.files, reading.state)


def compose_file(file: PolicyFile, report: Report) -> Node | None:
    """The file's root node, or None (reported). A byte order mark is taken off."""
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.content.count(b"\n", 0, error.start) + 1
        report.error(Mark(file.path, line), "this is not UTF-8 text: save the file as UTF-8")
        return None
    return compose(text, file.path, report)
