"""Response header fields the gateway adds, as structured fields (RFC 9651)."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from gateway.core.headers import Headers
from gateway.core.limits import LimitState
from gateway.core.policy import Mode, Unit

# A member read through its class costs as much as a call; these are read for every answer.
_ENFORCE, _USD = Mode.ENFORCE, Unit.USD


def ratelimit_fields(states: Iterable[LimitState]) -> Headers:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10 §3, §4), or nothing.

    One item per limit that refuses: `"requests-minute";q=600;w=60` and `"requests-minute";r=599;t=32`. A level has
    neither `w` nor `t`. Money and shadow limits stay out: the fields are about calls a client may still make.
    """
    policy, limit = [], []
    for state in states:
        if state.limit.mode is _ENFORCE and state.limit.unit is not _USD:
            policy.append(_policy_item(state.limit.name, state.ceiling, state.window_seconds))
            limit.append(_limit_item(state))
    if not policy:
        return ()
    return ((b"ratelimit-policy", b", ".join(policy)), (b"ratelimit", ", ".join(limit).encode("ascii")))


@lru_cache(maxsize=1024)
def _policy_item(name: str, ceiling: int, seconds: int | None) -> bytes:
    """One limit's item of `RateLimit-Policy`; kept, because it is told at every call."""
    item = f'"{name}";q={ceiling}' if seconds is None else f'"{name}";q={ceiling};w={seconds}'
    return item.encode("ascii")


def _limit_item(state: LimitState) -> str:
    if state.seconds_left is None:
        return f'"{state.limit.name}";r={state.remaining}'
    return f'"{state.limit.name}";r={state.remaining};t={state.seconds_left}'


def etag_of(body: bytes) -> bytes:
    """A strong entity tag (RFC 9110 §8.8.3) of these bytes."""
    return b'"%s"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()
