"""The documentation as its tests read it: pages, their fenced blocks, their tables and their links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. Its repr is the place, which names the test that runs it."""

    page: str
    line: int
    language: str
    text: str

    def __repr__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file, by its path from the root of the repository."""

    name: str
    text: str

    def blocks(self, *languages: str) -> list[Block]:
        """The fenced blocks in these languages, in the order of the page."""
        return [
            Block(self.name, self.text.count("\n", 0, found.start()) + 1, found[1], found[2])
            for found in _FENCE.finditer(self.text)
            if found[1] in languages
        ]

    @property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def codes(self) -> Iterator[str]:
        """Everything between backquotes in the prose, on one line each."""
        for code in _CODE.findall(self.prose):
            yield " ".join(code.split())

    def table(self, header: str) -> list[str]:
        """The lines of every table with this header line, the header and its rule once."""
        rows: list[str] = []
        for part in self.prose.split(f"{header}\n")[1:]:
            lines = part.splitlines()
            rows += lines[1 : _end_of_table(lines)]
        assert rows, f"{self.name} has no table {header}"
        return [header, "|".join(["", *["---"] * header.count(" | "), "---", ""]), *rows]

    def first_cells(self, header: str) -> list[str]:
        """What stands between backquotes in the first column of the tables with this header line."""
        return [_CODE.findall(row.split(" | ")[0])[0] for row in self.table(header)[2:]]

    def links(self) -> list[str]:
        """The targets of its links."""
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """What its headings are called in links."""
        headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(self.prose))
        return {heading.replace(" ", "-") for heading in headings}


def _end_of_table(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))


def read_page(name: str) -> Page:
    """A page as it stands on disk."""
    return Page(name, (ROOT / name).read_text())


README = read_page("README.md")
CLIENTS = read_page("docs/clients.md")
COMMANDS = read_page("docs/commands.md")
DECISIONS = read_page("docs/decisions.md")
OPERATING = read_page("docs/operating.md")
POLICIES = read_page("docs/policies.md")
PERFORMANCE = read_page("docs/performance.md")
SECURITY = read_page("docs/security.md")
PAGES = (README, CLIENTS, COMMANDS, DECISIONS, OPERATING, PERFORMANCE, POLICIES, SECURITY)
