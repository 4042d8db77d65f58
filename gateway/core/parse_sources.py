"""Where secrets are read: `env:NAME` and `file:/path`; upstream credentials made of them. No message quotes one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.nodes import Listing, Mark, Node, Report, Scalar, Table
from gateway.core.parse_fields import check_name, read_fields
from gateway.core.policy import Credential, Source

CREDENTIAL_FIELDS = ("api_key", "organization")

IMPLICIT = Credential("default", (Source("env", "GMI_API_KEY"),), Source("env", "GMI_ORG_ID", optional=True))
"""The credential `default` where no file defines it: the variables of GMI's own reference."""

_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_FILE = re.compile(r"file:(/[^\s]+)")
_LITERAL = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class PlacedCredential:
    """A credential and where it stands."""

    credential: Credential
    mark: Mark


def read_source(node: Node, what: str, report: Report) -> Source | None:
    """`env:NAME` or `file:/path`, or None (reported)."""
    text = node.value if isinstance(node, Scalar) else None
    source = _parse_source(text) if isinstance(text, str) else None
    if source is None:
        report.error(
            node.mark, f"`{what}` must be `env:NAME` or `file:/path`: a secret itself never stands in a policy"
        )
    return source


def read_credentials(node: Node, report: Report) -> Mapping[str, PlacedCredential]:
    """The credentials of one file, by name."""
    if not isinstance(node, Table):
        report.error(node.mark, "`credentials` must be a table of names, each with `api_key` and `organization`")
        return {}
    found: dict[str, PlacedCredential] = {}
    for key, value in node.entries:
        if check_name(key.text, key.mark, report):
            found[key.text] = PlacedCredential(_read_credential(key.text, value, report), key.mark)
    return found


def _read_credential(name: str, node: Node, report: Report) -> Credential:
    fields = read_fields(node, CREDENTIAL_FIELDS, f"the credential `{name}`", report)
    if fields is None:
        return Credential(name, ())
    fields.require("api_key")
    keys = fields.nodes.get("api_key", Listing((), fields.mark))
    sources = keys.items if isinstance(keys, Listing) else (keys,)
    fields.require_items("api_key")
    api_keys = tuple(source for item in sources if (source := read_source(item, "api_key", report)) is not None)
    if not fields.has("organization"):
        return Credential(name, api_keys)
    return Credential(name, api_keys, _read_organization(fields.nodes["organization"], report))


def _read_organization(node: Node, report: Report) -> Source | None:
    """A source, or the organisation's id itself, which is no secret that opens anything."""
    text = node.value if isinstance(node, Scalar) else None
    if isinstance(text, str) and text.startswith(("env:", "file:")):
        return read_source(node, "organization", report)
    if isinstance(text, str) and _LITERAL.fullmatch(text):
        return Source("text", text)
    report.error(node.mark, "`organization` must be `env:NAME`, `file:/path` or the organisation's id as text")
    return None


def _parse_source(text: str) -> Source | None:
    if match := _ENV.fullmatch(text):
        return Source("env", match[1])
    if match := _FILE.fullmatch(text):
        return Source("file", match[1])
    return None
