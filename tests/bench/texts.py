"""Configuration files of what is measured, filled in: `@name@` stands for a value."""

import re
from pathlib import Path

_FILES = Path(__file__).parent / "files"
_PLACE = re.compile(r"@([a-z_]+)@")


def write_file(name: str, target: Path, **values: object) -> Path:
    """The file `name` with its places filled, written to `target`. A place without a value is a KeyError."""
    target.write_text(_PLACE.sub(lambda place: str(values[place[1]]), (_FILES / name).read_text()))
    return target
