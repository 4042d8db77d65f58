"""Query parameters read strictly."""

from collections.abc import Iterable, Mapping

from gateway.core.errors import Code, Refusal

DEFAULT_PAGE = 50
LARGEST_PAGE = 200
"""Entries of a list in one answer, where the query says nothing, and at most."""

LARGEST_OFFSET = 10_000_000
"""Entries of a list that may be passed over."""

_LONGEST_NUMBER = 9


def check_word(name: str, value: str, known: Iterable[str]) -> None:
    """Refusal 400, naming the known ones, for a filter that can match nothing."""
    words = sorted(known)
    if value not in words:
        named = ", ".join(f"`{word}`" for word in words)
        raise Refusal(Code.INVALID_REQUEST, f"There is no such `{name}`; it may be {named}.")


def read_number(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query, or its default. Refusal 400 outside `least` to `most`."""
    text = values.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_NUMBER or not least <= int(text) <= most:
        raise Refusal(Code.INVALID_REQUEST, f"`{name}` must be a whole number from {least} to {most}.")
    return int(text)


def read_limit(values: Mapping[str, str]) -> int:
    """How many entries of a list are asked for. Refusal 400 for what is no such number."""
    return read_number(values, "limit", DEFAULT_PAGE, 1, LARGEST_PAGE)


def read_offset(values: Mapping[str, str]) -> int:
    """After how many entries of a list those begin. Refusal 400 for what is no such number."""
    return read_number(values, "offset", 0, 0, LARGEST_OFFSET)
