"""Edits a team's file in place: one key more or less, and every comment, blank line and order kept.

The text is changed where the nodes stand, then read back: an edit that would change anything else is refused.
"""

import codecs
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.core.nodes import Listing, Report, Scalar, Table, plain
from gateway.core.parse_fields import NAME_FORM, NAME_PATTERN
from gateway.core.parse_instants import parse_instant
from gateway.policies.files import read_settled
from gateway.policies.load import compose_file
from gateway.policies.splice import append_item, block_item, fill_list, insert_lines, remove_item
from gateway.policies.yaml_nodes import compose

_BEFORE_KEYS = ("team", "description", "timezone", "credential")


class EditError(Exception):
    """The file cannot be edited; the text says why and what to do by hand."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as its file says it: `digest` is the `sha256:…` text, `expires` as written, `line` counts from 1."""

    name: str
    digest: str
    expires: str | None
    line: int


def find_team_file(path: Path, team: str) -> Path:
    """The file that defines `team`, among the policies at `path`. Raises EditError where none does."""
    reading = read_settled(path)
    for file in reading.files:
        root = compose_file(file, Report())
        name = root.get("team") if isinstance(root, Table) else None
        if isinstance(name, Scalar) and name.text == team:
            return Path(file.path)
    raise EditError(f"no file in {path} defines the team `{team}`")


def rewrite(path: Path, edit: Callable[[str], str]) -> None:
    """Replace the file's text with `edit` of it, at once and durably; a link is followed, the mode kept."""
    target = path.resolve()
    before = target.read_bytes()
    mark = codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b""
    after = mark + edit(before.removeprefix(mark).decode()).encode()
    descriptor, name = tempfile.mkstemp(prefix=".", dir=target.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(after)
            stream.flush()
            os.fsync(stream.fileno())
        draft.chmod(target.stat().st_mode & 0o7777)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def list_keys(text: str) -> tuple[KeyEntry, ...]:
    """The keys of a team's file, in its order. Raises EditError where the file cannot be read."""
    return tuple(_entry(item) for item in _key_items(read_table(text)))


def key_snippet(name: str, digest: str, expires: str | None = None) -> str:
    """One key as an item of `keys`, for pasting. `digest` is the SHA-256 in hex. Raises EditError as `add_key`."""
    return "\n".join(block_item(_key_fields(name, digest, expires)))


def add_key(text: str, name: str, digest: str, expires: str | None = None) -> str:
    """The text with one key more, the last.

    `digest` is the SHA-256 in hex, `expires` a date or an RFC 3339 instant. Raises EditError where one of them is
    not, where the name is taken, and where the file is not a team's.
    """
    fields = _key_fields(name, digest, expires)
    root = read_table(text)
    if root.get("team") is None:
        raise EditError("this file defines no team")
    if any(entry.name == name for entry in list_keys(text)):
        raise EditError(f"the team has a key `{name}` already: choose another name, or revoke that one first")
    keys = root.get("keys")
    if isinstance(keys, Listing) and keys.items:
        edited = append_item(text, keys, fields)
    elif root.flow:
        raise EditError("this file is written in braces: add the key by hand")
    elif keys is None:
        edited = _add_section(text, root, fields)
    elif plain(keys) in (None, []):
        edited = fill_list(text, keys, root.mark.column + 1, fields)
    else:
        raise EditError("correct the file first: its `keys` is no list")
    entry = KeyEntry(name, f"sha256:{digest}", expires, 0)
    return _checked(text, edited, (*list_keys(text), entry))


def revoke_key(text: str, name: str) -> str:
    """The text without the key. Raises EditError where there is none of that name."""
    root = read_table(text)
    for key, keys in root.entries:
        if key.text != "keys" or not isinstance(keys, Listing):
            continue
        for index, item in enumerate(keys.items):
            if isinstance(item, Table) and _entry(item).name == name:
                left = [entry for entry in list_keys(text) if entry.name != name]
                return _checked(text, remove_item(text, key, keys, index), left)
    raise EditError(f"the team has no key `{name}`")


def read_table(text: str) -> Table:
    """The file's fields. Raises EditError, with the first problem, where the text is not such a file."""
    report = Report()
    root = compose(text, "line", report)
    if report.problems or not isinstance(root, Table):
        problem = next(map(str, report.problems), "it is no table")
        raise EditError(f"correct the file first, it cannot be read as it is: {problem}")
    return root


def _key_fields(name: str, digest: str, expires: str | None) -> list[tuple[str, str]]:
    if not re.fullmatch(NAME_PATTERN, name):
        raise EditError(f"{name!r} is not a name: {NAME_FORM}")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise EditError("the hash of a key must be 64 hexadecimal digits")
    fields = [("name", name), ("hash", f"sha256:{digest}")]
    if expires is None:
        return fields
    try:
        parse_instant(expires, "UTC")
    except ValueError as error:
        raise EditError(f"the expiry {error}") from None
    return [*fields, ("expires", expires)]


def _key_items(root: Table) -> list[Table]:
    keys = root.get("keys")
    return [item for item in keys.items if isinstance(item, Table)] if isinstance(keys, Listing) else []


def _entry(item: Table) -> KeyEntry:
    name, digest, expires = (
        node.text if isinstance(node := item.get(field), Scalar) else "" for field in ("name", "hash", "expires")
    )
    return KeyEntry(name, digest, expires or None, item.mark.line)


def _add_section(text: str, root: Table, fields: Sequence[tuple[str, str]]) -> str:
    """`keys` after the last of the fields that say who the team is."""
    after = max(value.end for key, value in root.entries if key.text in _BEFORE_KEYS)
    indent = " " * (root.mark.column - 1)
    return insert_lines(text, after, [f"{indent}keys:", *(f"{indent}  {line}" for line in block_item(fields))])


def _checked(before: str, after: str, expected: Sequence[KeyEntry]) -> str:
    """`after`, once read back: exactly the expected keys, and all else as before."""
    was, now = read_table(before), read_table(after)
    keys = [replace(entry, line=0) for entry in list_keys(after)]
    if _all_but_keys(was) != _all_but_keys(now) or keys != [replace(entry, line=0) for entry in expected]:
        raise EditError("the file is written in a way this edit would break: change its `keys` by hand")
    return after


def _all_but_keys(root: Table) -> Mapping[str, object]:
    return {key.text: plain(value) for key, value in root.entries if key.text != "keys"}
