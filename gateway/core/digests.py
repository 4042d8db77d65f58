"""Payloads that mean the same have one digest, however they are written."""

import hashlib
import json
from typing import Any

from gateway.core.long_texts import LongText

_LARGEST_EXACT = 2**53
"""Up to it a double holds every whole number. Upstream reads numbers as doubles, as many JSON readers do."""

_LONGEST_WRITTEN_OUT = 4096
"""Characters from which on a text stands as its own digest."""

_LONGEST_READ_WHOLE = 128 * 1024
"""Characters up to which all of a text goes into its digest."""

_SAMPLE = 8 * 1024
"""Characters of a longer text's beginning, of its end, and of all of it in even steps that do.

What costs is each step, which fetches memory for one character.
"""


def digest_payload(payload: Any) -> bytes:
    """The SHA-256 of the canonical payload: by it a lost job is found in upstream's list."""
    return hashlib.sha256(canonical_payload(payload)).digest()


def canonical_payload(payload: Any) -> bytes:
    """The payload in the one form that equal payloads share: sorted, compact, whole numbers without a fraction.

    Upstream echoes `8` for `8.0`, and a whole number that no double can hold as the double it becomes. Long texts,
    which are files mostly, stand as their own digests: writing one out as JSON takes eight times as long.

    Of very long ones a sample has to do, with their length: reading them whole would cost as much as all the rest of a
    large create. Two creates that differ in nothing but what no sample shows count as equal, and of those a lost one is
    told apart from the others by team and time, or not at all.
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
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return _as_double(value)
    if isinstance(value, str | LongText) and len(value) > _LONGEST_WRITTEN_OUT:
        return f"{len(value)} characters: {hashlib.sha256(_sample(value).encode('utf-8', 'surrogatepass')).hexdigest()}"
    return str(value) if isinstance(value, LongText) else value


def _as_double(number: int) -> int:
    """The whole number that is left of it in a double; itself where it is too large for one."""
    try:
        return int(float(number))
    except OverflowError:
        return number


def _sample(text: str | LongText) -> str:
    """The text, or what stands for it. The step is odd, so that it does not fall in with base64's groups of four."""
    if len(text) <= _LONGEST_READ_WHOLE:
        return str(text)
    return text[:_SAMPLE] + text[:: len(text) // _SAMPLE | 1] + text[-_SAMPLE:]
