"""Query parameters read strictly."""

from collections.abc import Mapping

from gateway.core.errors import Code, Refusal

_LONGEST_NUMBER = 9


def read_number(values: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query, or its default. Refusal 400 outside `least` to `most`."""
    text = values.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_NUMBER or not least <= int(text) <= most:
        raise Refusal(Code.INVALID_REQUEST, f"`{name}` must be a whole number from {least} to {most}.")
    return int(text)
