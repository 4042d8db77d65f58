"""Sizes and durations as people write them: `50 MiB`, `300 s`."""

import re
from collections.abc import Mapping

_SIZES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_DURATIONS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Bytes in `32 MiB`, `64 KiB` or a plain number of bytes. Raises ValueError with a sentence."""
    return int(_parse(text, _SIZES, "a size such as `32 MiB`"))


def parse_duration(text: str) -> float:
    """Seconds in `300 s`, `5 min`, `90d` or a plain number of seconds. Raises ValueError with a sentence."""
    return _parse(text, _DURATIONS, "a duration such as `300 s`")


def _parse(text: str, factors: Mapping[str, float], wanted: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in factors:
        raise ValueError(f"must be {wanted}")
    return float(match[1]) * factors[match[2]]
