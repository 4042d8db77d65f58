"""What each header of an answer is for: where the answer ends, this gateway alone, or the client (RFC 9110 §7.6.1)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from gateway.core.headers import Header, Headers

_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive", b"connection"))
"""What says where the answer ends, what its body is, and what of it is this connection's."""

_ALSO_HOP_BY_HOP = "proxy-connection te trailer upgrade "
_BETWEEN_US = """
set-cookie set-cookie2 authorization authentication-info www-authenticate x-organization-id x-request-id
"""
_UPSTREAMS_FRONT = """
server date age via alt-svc strict-transport-security public-key-pins expect-ct clear-site-data nel report-to
reporting-endpoints x-powered-by x-cache x-cache-hits x-served-by x-timer x-varnish cdn-loop retry-after
"""
_TO_OUR_FRONT = """
expires pragma refresh cdn-cache-control cloudflare-cdn-cache-control akamai-cache-control vercel-cdn-cache-control
edge-control x-sendfile x-lighttpd-send-file
"""
"""What a cache or a proxy before this gateway, or a browser, would obey: it could serve a file of its own for it."""

_WRITTEN_HERE = """
cache-control cache-status etag idempotency-replayed preference-applied ratelimit ratelimit-policy server-timing
"""
_KEPT_HERE = frozenset(
    (_ALSO_HOP_BY_HOP + _BETWEEN_US + _UPSTREAMS_FRONT + _TO_OUR_FRONT + _WRITTEN_HERE).encode().split()
)
_KEPT_HERE_PREFIXES = (
    *(b"proxy-", b"access-control-", b"cf-", b"x-amz-cf-", b"x-fastly-", b"x-akamai-", b"x-envoy-"),
    *(b"surrogate-", b"x-accel-", b"x-litespeed-", b"x-reproxy-"),
)

_UNCODED = (b"", b"identity")
_KEEP_ALIVE_TIMEOUT = re.compile(rb"timeout=([0-9]{1,6})(?![0-9])", re.IGNORECASE)


class Framing(msgspec.Struct, frozen=True):
    """What the headers of an answer say of where it ends, and of its connection (RFC 9112 §6.3, §9).

    `ends` is how many tell where it ends, and `is_known` that none does so in an unknown way. Its body `is_coded` if it
    is compressed, or in another coding (RFC 9110 §8.4). `nominated` are headers that are the connection's alone, and
    `kept_for` the seconds for which upstream keeps that idle, less one for the way; None if it does not say.
    """

    ends: int = 0
    is_known: bool = True
    is_coded: bool = False
    nominated: frozenset[bytes] = frozenset()
    kept_for: float | None = None


_UNFRAMED = Framing()


class _Places(NamedTuple):
    """Where headers stand among others, names in lower case.

    `lengths` is how many are a Content-Length, whose value the parser has judged. `framing_names` and `framing_places`
    are the others that say how the answer is framed, `passed` the places and names of those that may be the client's
    business.
    """

    lengths: int
    framing_names: tuple[bytes, ...]
    framing_places: tuple[int, ...]
    passed: tuple[tuple[int, bytes], ...]


def sorted_out(headers: Sequence[Header]) -> tuple[Framing, Headers]:
    """What headers say of the answer's framing, and those that are the client's business, names in lower case.

    Their order is kept. `Retry-After` is not among them: it is written anew, as upstream's may be missing or absurd.
    """
    if not headers:
        return _UNFRAMED, ()
    names, values = zip(*headers, strict=True)
    lengths, framing_names, framing_places, to_pass = _places_of(names)
    framing = _framing_of(lengths, framing_names, tuple([values[place] for place in framing_places]))
    passed = tuple([(name, values[place]) for place, name in to_pass])
    if framing.nominated:
        passed = tuple([field for field in passed if field[0] not in framing.nominated])
    return framing, passed


@lru_cache(maxsize=64)
def _places_of(names: tuple[bytes, ...]) -> _Places:
    """Where headers stand among headers of these names. Upstream mostly sends the same."""
    lowered = [(place, name.lower()) for place, name in enumerate(names)]
    framing = [each for each in lowered if each[1] in _FRAMING and each[1] != b"content-length"]
    passed = [each for each in lowered if each[1] not in _FRAMING and not _is_kept_here(each[1])]
    lengths = sum(name == b"content-length" for _, name in lowered)
    return _Places(lengths, tuple([each[1] for each in framing]), tuple([each[0] for each in framing]), tuple(passed))


@lru_cache(maxsize=256)  # in Keep-Alive, Apache counts the answers that are left to a connection, from 100
def _framing_of(lengths: int, names: tuple[bytes, ...], values: tuple[bytes, ...]) -> Framing:
    """What so many lengths and these headers say. Upstream mostly says the same."""
    ends, is_known, is_coded, nominated, kept_for = lengths, True, False, frozenset[bytes](), None
    for name, value in zip(names, values, strict=True):
        if name == b"connection":
            nominated |= _nominated_by(value)
        elif name == b"transfer-encoding":
            ends += 1
            is_known = value.strip().lower() == b"chunked"
        elif name == b"content-encoding":
            is_coded |= value.strip().lower() not in _UNCODED
        else:
            kept_for = _kept_for(value)
    return Framing(ends, is_known, is_coded, nominated, kept_for)


def _nominated_by(connection: bytes) -> frozenset[bytes]:
    """The headers that a `Connection` calls that connection's alone, beside those that are never passed on."""
    return frozenset(token.strip().lower() for token in connection.split(b",")) - _KEPT_HERE - _FRAMING


def _kept_for(keep_alive: bytes) -> float | None:
    match = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    return None if match is None else max(0.0, int(match[1]) - 1.0)


def _is_kept_here(name: bytes) -> bool:
    return name in _KEPT_HERE or name.startswith(_KEPT_HERE_PREFIXES)


def end_to_end(headers: Sequence[Header]) -> Headers:
    """The headers that are the client's business, names in lower case, order kept."""
    return sorted_out(headers)[1]
