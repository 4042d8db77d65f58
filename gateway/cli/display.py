"""What people read: plain aligned text in a file or a pipe; on a terminal the same words, fitted to it and coloured."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

GOOD, BAD, DOUBTFUL, IDLE = "green", "bold red", "yellow", "dim"
"""Styles, for a terminal alone: no word is left to its colour."""

NO_COLUMNS: frozenset[int] = frozenset()


_encode = msgspec.json.Encoder(decimal_format="number").encode


class Marked(NamedTuple):
    """A sign, in its style, what it is said of, and what is said."""

    sign: str
    style: str
    subject: str
    text: str


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = NO_COLUMNS) -> None:
    """Print the rows under their header; the columns in `right` are set flush right."""
    if sys.stdout.isatty():
        _terminal().show_table(header, rows, right)
    else:
        print(render_table(header, rows, right))


def show_marked(lines: Sequence[Marked], indent: str = "") -> None:
    """Print a line for each, their texts below one another."""
    if sys.stdout.isatty():
        _terminal().show_marked(lines, indent)
        return
    width = max(len(line.subject) for line in lines)
    for line in lines:
        print(f"{indent}{line.sign} {line.subject:{width}}  {line.text}")


def show_line(text: str, style: str = "") -> None:
    """Print one line, in this style where there are any."""
    if sys.stdout.isatty():
        _terminal().show_line(text, style)
    else:
        print(text)


def print_json(value: Any) -> None:
    """Print one document for programs. Decimals are numbers in plain digits: sums are exact."""
    print(msgspec.json.format(_encode(value), indent=2).decode())


def _terminal() -> Any:
    """By name: only a terminal needs what colours and wraps."""
    return importlib.import_module("gateway.cli.terminal")


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = NO_COLUMNS) -> str:
    """The rows under their header, columns two spaces apart; those in `right` are set flush right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
