"""A policy file as a tree of values that know where they stand, and the problems found in it.

The tree is what a YAML file says before anything is believed: `gateway.core.parse` turns it into policies, and names
the place of every problem, not just of the first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import TypeAlias

from gateway.core.keys import PREFIX

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file. `line` and `column` count from 1, `offset` is in characters from 0."""

    file: str
    line: int = 1
    column: int = 1
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One plain value, and its `text` as written. `end` is the offset after its last character."""

    value: str | int | float | bool | None
    text: str
    mark: Mark
    end: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A sequence. `flow` says it is written in brackets."""

    items: tuple["Node", ...]
    mark: Mark
    end: int = 0
    flow: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping, in file order; no key stands in it twice. `flow` says it is written in braces."""

    entries: tuple[tuple[Scalar, "Node"], ...]
    mark: Mark
    end: int = 0
    flow: bool = False

    def get(self, name: str) -> "Node | None":
        """The value under a key."""
        return next((value for key, value in self.entries if key.text == name), None)


Node: TypeAlias = Scalar | Listing | Table


def plain(node: Node) -> object:
    """What the node says, as JSON would: dicts, lists and values, without places. Keys are text."""
    if isinstance(node, Table):
        return {key.text: plain(value) for key, value in node.entries}
    if isinstance(node, Listing):
        return [plain(item) for item in node.items]
    return node.value


def scalars(node: Node) -> Iterator[Scalar]:
    """Every scalar of the tree, keys as well, in the order of the file."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Listing):
        for item in node.items:
            yield from scalars(item)
    else:
        for key, value in node.entries:
            yield key
            yield from scalars(value)


class Severity(StrEnum):
    """A set with an error is refused; warnings are reported and the set is used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do. A warning has a `name` to look it up by, such as `never-binds`."""

    file: str
    line: int
    column: int
    message: str
    severity: Severity = Severity.ERROR
    name: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.message}" if not self.name else f"{place}: warning: {self.message} [{self.name}]"


@dataclass(slots=True)
class Report:
    """The problems found so far, in the order they were found."""

    problems: list[Problem] = field(default_factory=list)

    def error(self, mark: Mark, message: str) -> None:
        """Note an error: the set cannot be used."""
        self.problems.append(Problem(mark.file, mark.line, mark.column, message))

    def warn(self, mark: Mark, name: str, message: str) -> None:
        """Note something that is allowed and hardly meant."""
        self.problems.append(Problem(mark.file, mark.line, mark.column, message, Severity.WARNING, name))

    @property
    def has_errors(self) -> bool:
        """Whether the set must be refused."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    def in_order(self) -> tuple[Problem, ...]:
        """Every problem once, by file, line and column."""
        unique = dict.fromkeys(self.problems)
        return tuple(sorted(unique, key=lambda problem: (problem.file, problem.line, problem.column)))


def show(text: str) -> str:
    """A value as a message may quote it: cut short, and never a team key."""
    if PREFIX in text:
        return f"`{PREFIX}…`"
    if not text.strip():
        return "nothing"
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return f"`{line}`" if len(line) <= _LONGEST_SHOWN else f"`{line[:_LONGEST_SHOWN]}…`"


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean `limits`?`, or nothing where no known word is near, whatever its case."""
    by_lower = {each.lower(): str(each) for each in known}
    near = nearest(word[:_LONGEST_SHOWN].lower(), by_lower)
    return f"; did you mean `{by_lower[near]}`?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, if any is."""
    # Only here, because hardly any process has a word to suggest, and what compares them takes a quarter of a megabyte.
    near: list[str] = import_module("difflib").get_close_matches(word, list(known), n=1)
    return near[0] if near else None


def one_of(words: Iterable[str]) -> str:
    """`png`, `jpeg` or `mp4`, for a message."""
    *most, last = [f"`{word}`" for word in words]
    return f"{', '.join(most)} or {last}" if most else last
