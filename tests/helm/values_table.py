"""The table of values in helm/README.md, made from values.yaml. `python -m tests.helm.values_table` writes it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.helm.rendered import HELM

HEADER = ["| Value | Default | Meaning |", "|---|---|---|"]
_KEY = re.compile(r"( *)([A-Za-z0-9]+):(.*)")


def rows() -> Iterator[str]:
    """A row for each value that has a comment above it, in the order of the file."""
    values = yaml.safe_load((HELM / "values.yaml").read_text())
    path: list[str] = []
    comment: list[str] = []
    for line in (HELM / "values.yaml").read_text().splitlines():
        found = _KEY.fullmatch(line)
        if line.strip().startswith("#"):
            comment.append(line.strip("# "))
            continue
        if found:
            path = [*path[: len(found[1]) // 2], found[2]]
            if comment:
                yield f"| `{'.'.join(path)}` | {_default(values, path)} | {' '.join(comment)} |"
        comment = []


def _default(values: Any, path: list[str]) -> str:
    for name in path:
        values = values[name]
    return f"`{json.dumps(values)}`" if values not in ("", {}, []) else "none"


def with_table(readme: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = readme.partition(HEADER[0])
    after = rest.split("\n\n", 1)[1] if "\n\n" in rest else ""
    return before + "\n".join([*HEADER, *rows()]) + "\n" + (f"\n{after}" if after else "")


def main() -> None:
    """Bring the page up to date."""
    page = HELM / "README.md"
    page.write_text(with_table(page.read_text()))


if __name__ == "__main__":
    main()
