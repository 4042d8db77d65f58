"""One team's policy, with the defaults taken in."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.core.keys import PREFIX
from gateway.core.nodes import Mark, Node, Scalar, Table
from gateway.core.parse_fields import Fields, read_fields
from gateway.core.parse_instants import check_timezone, read_instant
from gateway.core.parse_limits import PlacedLimit, PlacedOverride, apply_overrides, read_limits, read_overrides
from gateway.core.parse_rules import (
    read_duplicates,
    read_job_timeout,
    read_notify,
    read_payload,
    read_uploads,
    read_webhooks,
)
from gateway.core.policy import Key, Scope, Team

DEFAULT_FIELDS = (
    "timezone",
    "credential",
    "models",
    "limits",
    "payload",
    "uploads",
    "duplicates",
    "charge_failed",
    "job_timeout",
    "webhooks",
    "notify",
)
"""What `defaults` may set and a team inherits."""

TEAM_FIELDS = ("team", "description", "keys", "overrides", *DEFAULT_FIELDS)
KEY_FIELDS = ("name", "hash", "expires", "scopes")
MODELS_FIELDS = ("allow", "deny")

PLAIN_KEY = "this is a team key itself: revoke it, and write only `sha256:` and its hash"

_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")
_MERGED = ("models", "uploads")


@dataclass(frozen=True, slots=True)
class PlacedTeam:
    """A team and where its parts stand in the files."""

    team: Team
    mark: Mark
    credential_mark: Mark
    keys: tuple[tuple[Key, Mark], ...]
    patterns: tuple[Scalar, ...]
    limits: tuple[PlacedLimit, ...]
    overrides: tuple[PlacedOverride, ...]


def read_team(fields: Fields, defaults: Fields | None) -> PlacedTeam:
    """The team a file describes; what the file does not set comes from `defaults`.

    A team whose name is missing or not one is called "", so that everything else of it is looked at all the same.
    """
    report = fields.report
    merged = fields if defaults is None else _inherit(fields, defaults)
    name = fields.name("team") or ""
    timezone = check_timezone(merged, report) or "UTC"
    keys = _read_keys(fields, timezone)
    allow, deny = _read_models(merged)
    limits = _inherit_limits(fields, defaults)
    overrides = read_overrides(
        fields.items("overrides"), lambda each, field: read_instant(each, field, timezone), report
    )
    limits = apply_overrides(limits, overrides, report)
    webhooks = read_webhooks(merged.nodes.get("webhooks"), report)
    team = Team(
        name=name,
        description=fields.text("description") or "",
        timezone=timezone,
        credential=merged.name("credential") or "default",
        keys=tuple(key for key, _ in keys),
        allow=tuple(item.text for item in allow),
        deny=tuple(item.text for item in deny),
        limits=tuple(placed.limit for placed in limits),
        payload=read_payload(merged.items("payload"), report),
        uploads=read_uploads(merged.nodes.get("uploads"), report),
        duplicates_window=read_duplicates(merged.nodes.get("duplicates"), report),
        charge_failed=merged.flag("charge_failed", default=False),
        job_timeout=read_job_timeout(merged),
        webhooks=webhooks,
        notify=read_notify(merged, webhooks),
    )
    patterns = (*allow, *deny)
    return PlacedTeam(team, fields.place("team"), merged.place("credential"), keys, patterns, limits, overrides)


def _inherit(fields: Fields, defaults: Fields) -> Fields:
    """The team's fields over the defaults; `models` and `uploads` are taken field by field."""
    nodes = dict(defaults.nodes) | dict(fields.nodes)
    for name in _MERGED:
        own, inherited = fields.nodes.get(name), defaults.nodes.get(name)
        if isinstance(own, Table) and isinstance(inherited, Table):
            further = tuple(entry for entry in inherited.entries if own.get(entry[0].text) is None)
            nodes[name] = Table(own.entries + further, own.mark)
    return Fields(fields.mark, nodes, fields.report)


def _inherit_limits(fields: Fields, defaults: Fields | None) -> tuple[PlacedLimit, ...]:
    """The team's limits, then each default limit whose name the team does not set itself."""
    own = read_limits(fields.items("limits"), fields.report)
    if defaults is None:
        return own
    names = {placed.limit.name for placed in own}
    inherited = read_limits(defaults.items("limits"), fields.report)
    return own + tuple(replace(placed, inherited=True) for placed in inherited if placed.limit.name not in names)


def _read_models(fields: Fields) -> tuple[tuple[Scalar, ...], tuple[Scalar, ...]]:
    node = fields.nodes.get("models")
    models = read_fields(node, MODELS_FIELDS, "`models`", fields.report) if node is not None else None
    return (models.texts("allow"), models.texts("deny")) if models is not None else ((), ())


def _read_keys(fields: Fields, timezone: str) -> tuple[tuple[Key, Mark], ...]:
    """The team's keys and where their hashes stand; a name that stands twice is reported."""
    keys: list[tuple[Key, Mark]] = []
    names: set[str] = set()
    for item in fields.items("keys"):
        key_fields = read_fields(item, KEY_FIELDS, "a key", fields.report)
        if key_fields is None:
            continue
        key_fields.require("name", "hash")
        name = key_fields.name("name")
        if name is not None and name in names:
            fields.report.error(key_fields.place("name"), f"a second key of this team is called `{name}`")
        names |= {name} if name is not None else set()
        key = _read_key(name, key_fields, timezone)
        if key is not None:
            keys.append((key, key_fields.place("hash")))
    return tuple(keys)


def _read_key(name: str | None, fields: Fields, timezone: str) -> Key | None:
    digest = _read_digest(fields) if fields.has("hash") else None
    expires = read_instant(fields, "expires", timezone)
    scopes = fields.words("scopes", tuple(Scope)) if fields.has("scopes") else None
    fields.require_items("scopes", "; a key without scopes opens nothing")
    if name is None or digest is None:
        return None
    return Key(name, digest, expires) if scopes is None else Key(name, digest, expires, _scopes(scopes))


def _scopes(words: Iterable[str]) -> frozenset[Scope]:
    return frozenset(Scope(word) for word in words)


def _read_digest(fields: Fields) -> str | None:
    """The hex digits of `sha256:…`. The text is never quoted: it may be the key itself."""
    node: Node = fields.nodes["hash"]
    text = node.value if isinstance(node, Scalar) else None
    if isinstance(text, str) and text.startswith(PREFIX):
        fields.report.error(node.mark, PLAIN_KEY)
        return None
    match = _HASH.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        fields.report.error(
            node.mark, "`hash` must be `sha256:` and 64 hexadecimal digits, as `gmi-gateway keys new` writes it"
        )
        return None
    return match[1].lower()
