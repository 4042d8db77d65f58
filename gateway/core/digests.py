"""Payloads that mean the same have one digest, however they are written."""

import hashlib
import json
from typing import Any

_LONGEST_WRITTEN_OUT = 4096
"""Characters from which on a text stands as its own digest."""


def digest_payload(payload: Any) -> bytes:
    """The SHA-256 of the canonical payload: by it a lost job is found in upstream's list."""
    return hashlib.sha256(canonical_payload(payload)).digest()


def canonical_payload(payload: Any) -> bytes:
    """The payload in the one form that equal payloads share: sorted, compact, whole numbers without a fraction.

    Upstream echoes `8` for `8.0`. Long texts, which are files mostly, stand as their own digests: writing one out as
    JSON takes eight times as long.
    """
    text = json.dumps(_canonical(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) > _LONGEST_WRITTEN_OUT:
        return f"sha256:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return value
