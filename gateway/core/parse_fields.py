"""Reading one table of a policy file strictly: every field known, present where it must be, of its type."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from gateway.core.nodes import Listing, Mark, Node, Report, Scalar, Table, one_of, show, suggest

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_PATTERN = f"^{_NAME.pattern}$"
"""What teams, keys, credentials and limits may be called: safe in a metric label, a header and a path."""

NAME_FORM = "use letters, digits, `.`, `_` and `-`, at most 64 of them"
"""The same in words, for a message."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The known fields of one table. Each reader reports what is wrong with its field and then gives the default."""

    mark: Mark
    nodes: Mapping[str, Node]
    report: Report

    def has(self, name: str) -> bool:
        """Whether the table sets the field."""
        return name in self.nodes

    def place(self, name: str) -> Mark:
        """Where the field's value stands, else the table."""
        node = self.nodes.get(name)
        return self.mark if node is None else node.mark

    def require(self, *names: str) -> bool:
        """Whether all these fields are there; reports each that is not."""
        missing = [name for name in names if name not in self.nodes]
        for name in missing:
            self.report.error(self.mark, f"`{name}` is missing here")
        return not missing

    def require_items(self, name: str, instead: str = "") -> None:
        """Report a list that is there and empty; `instead` says what to write if that is meant."""
        node = self.nodes.get(name)
        if isinstance(node, Listing) and not node.items:
            self.report.error(node.mark, f"`{name}` must list at least one{instead}")

    def text(self, name: str) -> str | None:
        """The field as text; anything YAML reads as a number or a truth value wants quotes."""
        node = self.nodes.get(name)
        return None if node is None else read_text(node, name, self.report)

    def name(self, name: str) -> str | None:
        """The field as a name (letters, digits, `.`, `_`, `-`; at most 64)."""
        text = self.text(name)
        if text is not None and not check_name(text, self.place(name), self.report):
            return None
        return text

    def flag(self, name: str, *, default: bool) -> bool:
        """`true` or `false`."""
        node = self.nodes.get(name)
        if node is None:
            return default
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self.report.error(node.mark, f"`{name}` must be `true` or `false`")
        return default

    def number(self, name: str) -> int | float | None:
        """A number, not in quotes."""
        node = self.nodes.get(name)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return node.value
        self.report.error(node.mark, f"`{name}` must be a number")
        return None

    def count(self, name: str) -> int | None:
        """A whole number of at least 0."""
        number = self.number(name)
        if number is None or (isinstance(number, int) and number >= 0):
            return number
        self.report.error(self.place(name), f"`{name}` must be a whole number of at least 0")
        return None

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """One of an enumeration's words. The problem names them all: the most similar one may mean the opposite."""
        text = self.text(name)
        if text is None:
            return default
        if text in list(kind):
            return kind(text)
        self.report.error(self.place(name), f"`{name}` must be {one_of(kind)}, not {show(text)}")
        return default

    def items(self, name: str) -> tuple[Node, ...]:
        """The items of a list; none where the field is absent."""
        node = self.nodes.get(name)
        if node is None:
            return ()
        if isinstance(node, Listing):
            return node.items
        self.report.error(node.mark, f"`{name}` must be a list, such as `{name}: [first, second]`")
        return ()

    def texts(self, name: str) -> tuple[Scalar, ...]:
        """The items of a list of texts, none of them twice."""
        texts: dict[str, Scalar] = {}
        for item in self.items(name):
            text = read_text(item, f"each of `{name}`", self.report, quoted=False)
            if text is None or not isinstance(item, Scalar):
                continue
            if text in texts:
                self.report.error(item.mark, f"{show(text)} stands twice in `{name}`")
            texts[text] = item
        return tuple(texts.values())

    def globs(self, name: str) -> tuple[str, ...]:
        """A list of model patterns, or of hosts, with at least one in it."""
        self.require_items(name)
        return tuple(item.text for item in self.texts(name))

    def words(self, name: str, known: Sequence[str]) -> tuple[str, ...]:
        """A list of words, each of the known ones."""
        items = self.texts(name)
        for item in items:
            if item.text not in known:
                problem = f"{show(item.text)} is not one of {one_of(known)}{suggest(item.text, known)}"
                self.report.error(item.mark, problem)
        return tuple(item.text for item in items if item.text in known)

    def quantity(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """A size or duration, with its unit or as a plain number."""
        node = self.nodes.get(name)
        if node is None:
            return default
        try:
            return parse(node.text if isinstance(node, Scalar) else "")
        except ValueError as error:
            self.report.error(node.mark, f"`{name}` {error}")
            return default


def read_fields(node: Node, known: Sequence[str], what: str, report: Report) -> Fields | None:
    """The fields of `node`, or None (reported) where it is no table. Unknown and empty fields are reported."""
    if not isinstance(node, Table):
        some = ", ".join(f"`{name}`" for name in known[:4])
        report.error(node.mark, f"{what} must be a table of fields: {some}{', …' if len(known) > 4 else ''}")
        return None
    nodes: dict[str, Node] = {}
    for key, value in node.entries:
        if key.text not in known:
            report.error(key.mark, f"unknown field {show(key.text)} in {what}{suggest(key.text, known)}")
        elif isinstance(value, Scalar) and value.value is None:
            report.error(value.mark, f"`{key.text}` is empty: give it a value or leave the field out")
        else:
            nodes[key.text] = value
    return Fields(node.mark, nodes, report)


def read_text(node: Node, what: str, report: Report, *, quoted: bool = True) -> str | None:
    """The node as text that is not empty, or None (reported). `what` is a field's name when `quoted`."""
    subject = f"`{what}`" if quoted else what
    if not isinstance(node, Scalar):
        report.error(node.mark, f"{subject} must be text")
        return None
    if not isinstance(node.value, str):
        written = node.text or "null"
        report.error(node.mark, f"{subject} must be text: put {show(written)} in quotes")
        return None
    if not node.value.strip():
        report.error(node.mark, f"{subject} must not be blank")
        return None
    return node.value


def check_name(text: str, mark: Mark, report: Report) -> bool:
    """Whether `text` may name a team, key, credential or limit; reported where not."""
    if _NAME.fullmatch(text):
        return True
    report.error(mark, f"{show(text)} is not a name: {NAME_FORM}")
    return False
