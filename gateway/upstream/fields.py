"""What each header of an answer is for: where the answer ends, this gateway alone, or the client (RFC 9110 §7.6.1)."""

from collections.abc import Iterable
from functools import lru_cache

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


def sorted_out(headers: Iterable[Header]) -> tuple[list[Header], list[Header]]:
    """Those that say how the answer is framed, and those that may be the client's business.

    Names in lower case, order kept. `Retry-After` is in neither: it is written anew, because upstream's may be missing
    or absurd.
    """
    framing: list[Header] = []
    passed: list[Header] = []
    for name, value in headers:
        field = _as_sorted(name)
        if field in _FRAMING:
            framing.append((field, value))
        elif field:
            passed.append((field, value))
    return framing, passed


@lru_cache(maxsize=256)
def _as_sorted(name: bytes) -> bytes:
    """A header's name in lower case; empty if nothing is done with it. Upstream's are few."""
    lowered = name.lower()
    return b"" if lowered in _KEPT_HERE or lowered.startswith(_KEPT_HERE_PREFIXES) else lowered


def end_to_end(headers: Iterable[Header]) -> Headers:
    """The headers that are the client's business, names in lower case, order kept."""
    return passed_on(*sorted_out(headers))


def passed_on(framing: Iterable[Header], passed: Iterable[Header]) -> Headers:
    """What `sorted_out` gives, without the headers that a `Connection` calls that connection's alone."""
    nominated: frozenset[bytes] = frozenset()
    for name, value in framing:
        if name == b"connection":
            nominated |= _nominated_by(value)
    return tuple([field for field in passed if field[0] not in nominated]) if nominated else tuple(passed)


@lru_cache(maxsize=16)
def _nominated_by(connection: bytes) -> frozenset[bytes]:
    """The headers that it names, beside those that are never passed on."""
    return frozenset(token.strip().lower() for token in connection.split(b",")) - _KEPT_HERE - _FRAMING
