"""Tables and findings on a terminal: in colour, unless NO_COLOR says otherwise, and no wider than it.

Every text is printed as it is: what looks like markup in a team's or a model's name is none.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.display import Marked


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int]) -> None:
    """The rows under a bold header. A cell that finds no room goes on below itself."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, name in enumerate(header):
        table.add_column(Text(name), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _console().print(table)


def show_marked(lines: Sequence[Marked], indent: str) -> None:
    """The signs in colour; a long text goes on below itself."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in lines:
        about = Text.assemble(indent, (line.sign, line.style), " ", (line.subject, "bold"))
        grid.add_row(about, Text(line.text))
    _console().print(grid)


def show_line(text: str, style: str) -> None:
    """One line, which the terminal itself breaks where it has to: what stands in it can be copied whole."""
    _console().print(Text(text, style), soft_wrap=True)


def _console() -> Console:
    """Of stdout as it is now. Nothing is coloured for what it seems to be."""
    return Console(highlight=False, emoji=False, markup=False)
