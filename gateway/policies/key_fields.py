"""Sets one field of a key in a team's file, in place: comments, order and everything else stay as written."""

from gateway.core.nodes import Listing, Report, Scalar, Table, plain
from gateway.policies.edit import EditError, read_table
from gateway.policies.splice import insert_lines
from gateway.policies.yaml_nodes import compose


def set_key_field(text: str, name: str, field: str, value: str) -> str:
    """The text with `field: value` in the key `name`, in place of what it said before; `value` is plain YAML.

    Raises EditError where there is no such key, and where the text is written in a way this edit would break.
    """
    item = _find(text, name)
    node, last = item.get(field), item.entries[-1][1]
    if node is not None:
        edited = text[: node.mark.offset] + value + text[node.end :]
    elif item.flow:
        edited = text[: last.end] + f", {field}: {value}" + text[last.end :]
    else:
        edited = insert_lines(text, last.end, [" " * (item.mark.column - 1) + f"{field}: {value}"])
    if not _says_so(text, edited, name, (field, value)):
        raise EditError(f"the file is written in a way this edit would break: set `{field}` of `{name}` by hand")
    return edited


def _find(text: str, name: str) -> Table:
    keys = read_table(text).get("keys")
    for item in keys.items if isinstance(keys, Listing) else ():
        if isinstance(item, Table) and isinstance(node := item.get("name"), Scalar) and node.text == name:
            return item
    raise EditError(f"the team has no key `{name}`")


def _says_so(before: str, after: str, name: str, change: tuple[str, str]) -> bool:
    """Whether `after`, read back, differs from `before` in this one field."""
    report = Report()
    field, value = change
    read, wanted = compose(after, "line", report), compose(value, "line", report)
    if read is None or wanted is None or report.problems:
        return False
    expected = plain(read_table(before))
    assert isinstance(expected, dict)
    for entry in expected["keys"]:
        if isinstance(entry, dict) and str(entry.get("name")) == name:
            entry[field] = plain(wanted)
    return plain(read) == expected
