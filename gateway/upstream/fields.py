"""What each header of an answer is for: where the answer ends, this gateway alone, or the client (RFC 9110 §7.6.1)."""

from collections.abc import Iterable, Sequence
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


Places = tuple[tuple[int, bytes], ...]
"""Where headers stand among others, and their names in lower case."""


def sorted_out(headers: Sequence[Header]) -> tuple[list[Header], list[Header]]:
    """Those that say how the answer is framed, and those that may be the client's business.

    Names in lower case, order kept. `Retry-After` is in neither: it is written anew, because upstream's may be missing
    or absurd.
    """
    framing, passed = _places_of(tuple([name for name, _ in headers]))
    return [(name, headers[place][1]) for place, name in framing], [(name, headers[place][1]) for place, name in passed]


@lru_cache(maxsize=64)
def _places_of(names: tuple[bytes, ...]) -> tuple[Places, Places]:
    """Where headers of both kinds stand among headers of these names. Upstream mostly sends the same."""
    lowered = [(place, name.lower()) for place, name in enumerate(names)]
    framing = tuple([each for each in lowered if each[1] in _FRAMING])
    return framing, tuple([each for each in lowered if each[1] not in _FRAMING and not _is_kept_here(each[1])])


def _is_kept_here(name: bytes) -> bool:
    return name in _KEPT_HERE or name.startswith(_KEPT_HERE_PREFIXES)


def end_to_end(headers: Sequence[Header]) -> Headers:
    """The headers that are the client's business, names in lower case, order kept."""
    framing, passed = sorted_out(headers)
    nominated = [nominated_by(value) for name, value in framing if name == b"connection"]
    return without(frozenset[bytes]().union(*nominated), passed)


def without(nominated: frozenset[bytes], passed: Iterable[Header]) -> Headers:
    """What may be the client's business, but for what a `Connection` nominates."""
    return tuple([field for field in passed if field[0] not in nominated]) if nominated else tuple(passed)


@lru_cache(maxsize=16)
def nominated_by(connection: bytes) -> frozenset[bytes]:
    """The headers that a `Connection` calls that connection's alone, beside those that are never passed on."""
    return frozenset(token.strip().lower() for token in connection.split(b",")) - _KEPT_HERE - _FRAMING
