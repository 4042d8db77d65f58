"""Changes to YAML text at the places of its nodes. Whatever is not changed stays as it was written."""

from collections.abc import Sequence

from gateway.core.nodes import Listing, Node, Scalar, Table


def append_item(text: str, listing: Listing, fields: Sequence[tuple[str, str]]) -> str:
    """The text with a further table at the end of a list that has items, in the style of its last one."""
    last = listing.items[-1]
    if listing.flow:
        return text[: last.end] + ", " + _in_braces(fields) + text[last.end :]
    indent = " " * (listing.mark.column - 1)
    lines = [f"- {_in_braces(fields)}"] if isinstance(last, Table) and last.flow else block_item(fields)
    return insert_lines(text, last.end, [indent + line for line in lines])


def remove_item(text: str, key: Scalar, listing: Listing, index: int) -> str:
    """The text without one item of the list under `key`; a list left empty becomes `[]`."""
    item, items = listing.items[index], listing.items
    if listing.flow and len(items) == 1:
        return text[: listing.mark.offset] + "[]" + text[listing.end :]
    if listing.flow:
        is_last = index == len(items) - 1
        start, end = (items[index - 1].end, item.end) if is_last else (item.mark.offset, items[index + 1].mark.offset)
        return text[:start] + text[end:]
    start = _dash_line(text, listing, item)
    without = text[:start] + text[_line_end(text, item.end) :].removeprefix("\r").removeprefix("\n")
    if len(items) > 1:
        return without
    colon = text.index(":", key.end) + 1
    return without[:colon] + " []" + without[colon:]


def fill_list(text: str, empty: Node, indent: int, fields: Sequence[tuple[str, str]]) -> str:
    """The text with one item in a list that stands there as `[]`, or as nothing."""
    before = text[: empty.mark.offset].rstrip(" ")
    return insert_lines(before + text[empty.end :], len(before), [" " * indent + line for line in block_item(fields)])


def insert_lines(text: str, offset: int, lines: Sequence[str]) -> str:
    """The text with lines of its own after the one that `offset` stands in."""
    newline = "\r\n" if "\r\n" in text else "\n"
    end = _line_end(text, offset)
    return text[:end] + "".join(newline + line for line in lines) + (text[end:] or newline)


def block_item(fields: Sequence[tuple[str, str]]) -> list[str]:
    """A table as an item of a list, a field a line."""
    return [("- " if index == 0 else "  ") + f"{name}: {value}" for index, (name, value) in enumerate(fields)]


def _in_braces(fields: Sequence[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields) + "}"


def _line_end(text: str, offset: int) -> int:
    """The offset of the line break that ends the line, or of the end of the text."""
    end = text.find("\n", offset)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" else end


def _dash_line(text: str, listing: Listing, item: Node) -> int:
    """The offset of the line with the item's dash, which may stand above the item, over a comment."""
    dash = " " * (listing.mark.column - 1) + "-"
    start = text.rfind("\n", 0, item.mark.offset) + 1
    while not text.startswith(dash, start):
        start = text.rfind("\n", 0, start - 1) + 1
    return start
