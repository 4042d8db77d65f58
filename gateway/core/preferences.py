"""What a client would like of an answer (RFC 7240), as far as the gateway knows it."""

import re
from collections.abc import Iterable

LONGEST_WAIT = 300
"""Seconds a client can ask an answer to be held back at most."""

_LONGEST_READ = 1024
# What is matched once is never given back, or a header could be made that takes a time which grows with its square.
_PREFERENCE = re.compile(rb'(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[^,"])++', re.DOTALL)
"""Up to a comma that stands in no text in quotes. One that is never closed reaches to the end."""

_WAIT = re.compile(rb'\s*+wait\s*+(?:=\s*+("[^"]*+"|[^\s;]*+))?+\s*+(?:;.*)?', re.IGNORECASE | re.DOTALL)
_SECONDS = re.compile(rb"[0-9]+")


def wait_of(prefer: Iterable[bytes]) -> int | None:
    """The seconds that `wait` asks for (RFC 7240 §4.3), from 1 to 300, by the lines of the header `Prefer`.

    None where none is asked for, or nothing that is a number: preferences are never an error. Only the first `wait`
    counts (§2).
    """
    line = b",".join(prefer)
    if len(line) > _LONGEST_READ:
        return None
    for preference in _PREFERENCE.findall(line):
        found = _WAIT.fullmatch(preference)
        if found is not None:
            seconds = (found[1] or b"").strip(b'"')
            return _clamped(seconds) if _SECONDS.fullmatch(seconds) else None
    return None


def _clamped(digits: bytes) -> int:
    return min(LONGEST_WAIT, max(1, int(digits)))
