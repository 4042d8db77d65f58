"""YAML text to the nodes of `gateway.core.nodes`: the plain part of YAML, and nothing that surprises.

Read event by event, so a hostile file costs what it is long: nothing is expanded, nothing recurses. Anchors, aliases,
tags, several documents and nesting beyond 32 are problems. Plain scalars are numbers, `true`, `false` and null as in
YAML 1.2's core schema, decimal only; all else is text: `no`, `1:30`, `010`, dates.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import yaml

from gateway.core.nodes import Listing, Mark, Node, Report, Scalar, Table, show

DEEPEST = 32

_ALIAS_HINT = ": put a pattern that begins with `*` in quotes"

# libyaml where the wheel has it, as all published ones do: it is fifty times as fast. The events are the same.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]{0,39})(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,2})?")
_CONSTANTS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
} | dict.fromkeys(("null", "Null", "NULL", "~", ""))

Event: TypeAlias = Any  # yaml's event classes share no typed attribute


def compose(text: str, file: str, report: Report) -> Node | None:
    """The one document in `text`, or None (reported) where it is not one or not plain YAML. `file` names it."""
    composer = _Composer(file, text, report)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if not composer.take(event):
                return None
    except yaml.MarkedYAMLError as error:
        mark = composer.mark(error.problem_mark)
        report.error(mark, f"this is not YAML: {_describe(error, text[mark.offset : mark.offset + 1])}")
        return None
    except yaml.YAMLError:
        report.error(Mark(file), "this is not YAML: it holds characters that YAML does not allow")
        return None
    if composer.root is None:
        report.error(Mark(file), "the file holds nothing: write a policy into it or remove it")
    return composer.root


def _describe(error: yaml.MarkedYAMLError, letter: str) -> str:
    """What YAML's reader says of the letter it stopped at, and what to do. The reader names neither."""
    if letter == "\t":
        return "a tab stands here: indent with spaces"
    if "alias" in str(error.context):
        return f"{error.problem}{_ALIAS_HINT}"
    if "cannot start any token" in str(error.problem):
        return f"{error.problem}: put a text that begins with {show(letter)} in quotes"
    return str(error.problem)


def resolve(text: str) -> str | int | float | bool | None:
    """What a plain scalar means. Numbers too large to be exact stay text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come: for a table, keys and values in turn."""

    start: Event
    mark: Mark
    children: list[Node] = field(default_factory=list)


class _Composer:
    """Builds the tree bottom up from events, with a stack of its own."""

    def __init__(self, file: str, text: str, report: Report) -> None:
        self._file = file
        self._text = text
        self._report = report
        self._open: list[_Open] = []
        self._documents = 0
        self.root: Node | None = None

    def mark(self, mark: Any) -> Mark:
        """YAML's mark as ours, which counts from 1."""
        return Mark(self._file, mark.line + 1, mark.column + 1, mark.index)

    def take(self, event: Event) -> bool:
        """Take the next event. False (reported): reading on would cost without telling more."""
        mark = self.mark(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._report.error(mark, "a second document begins here: give it a file of its own")
            return self._documents == 1
        if isinstance(event, yaml.AliasEvent):
            self._report.error(mark, f"this is a YAML alias{_ALIAS_HINT}")
            return False
        if isinstance(event, yaml.NodeEvent):
            return self._take_node(event, mark)
        if isinstance(event, yaml.CollectionEndEvent):
            self._close(event)
        return True

    def _take_node(self, event: Event, mark: Mark) -> bool:
        if event.anchor is not None:
            self._report.error(mark, "YAML anchors are not used in policy files: write the value out")
        if event.tag is not None:
            self._report.error(mark, "YAML tags are not used in policy files: put text in quotes instead")
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            value = resolve(event.value) if plain else event.value
            self._add(Scalar(value, event.value, mark, self._end_of(event)))
            return True
        if len(self._open) == DEEPEST:
            self._report.error(mark, f"nested deeper than {DEEPEST} levels")
            return False
        self._open.append(_Open(event, mark))
        return True

    def _end_of(self, event: Event) -> int:
        """The offset after the node's last character: a block scalar's own end is after the blank lines below it."""
        end: int = event.end_mark.index
        start: int = event.start_mark.index
        return start + len(self._text[start:end].rstrip())

    def _close(self, event: Event) -> None:
        opened = self._open.pop()
        flow = bool(opened.start.flow_style)
        last = opened.children[-1].end if opened.children else opened.mark.offset
        end = event.end_mark.index if flow else last
        if isinstance(event, yaml.SequenceEndEvent):
            self._add(Listing(tuple(opened.children), opened.mark, end, flow))
        else:
            self._add(Table(self._pair(opened.children), opened.mark, end, flow))

    def _pair(self, children: list[Node]) -> tuple[tuple[Scalar, Node], ...]:
        """The keys with their values, each key once and plain text."""
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self._report.error(key.mark, "a field's name must be plain text")
            elif key.text in entries:
                first = entries[key.text][0].mark
                self._report.error(key.mark, f"{show(key.text)} stands twice here, first in line {first.line}")
            else:
                entries[key.text] = (replace(key, value=key.text), value)
        return tuple(entries.values())

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
