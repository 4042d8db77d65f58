"""Who calls: the team key in `Authorization: Bearer` (RFC 6750 §2.1), looked up by its SHA-256.

Addresses that keep sending keys nobody has are slowed down; an address is never a reason to refuse a valid key.
"""

import hashlib
import ipaddress
from collections.abc import Callable, MutableMapping
from typing import Any, cast
from weakref import ref

from gateway.core.access import refusal_of_unknown_key
from gateway.core.errors import Code, RateLimit, Refusal
from gateway.core.policy import Caller, PolicySet
from gateway.settings import Network

_LONGEST_KEY = 512
_BAD_KEYS_PER_MINUTE = 120
_MOST_ADDRESSES = 10_000
_MOST_HOPS = 20


def identify(policy: PolicySet, values: list[bytes]) -> Caller:
    """Whose key the `Authorization` headers hold, or Refusal 401.

    400 for two credentials, which two parsers might read differently.
    """
    if not values:
        raise Refusal(Code.KEY_MISSING, "Send your team key as `Authorization: Bearer <key>`.")
    if len(values) > 1 or b"," in values[0]:
        raise Refusal(Code.INVALID_REQUEST, "Send exactly one Authorization header with one key.")
    scheme, _, key = values[0].strip().partition(b" ")
    if scheme.lower() != b"bearer":
        raise Refusal(Code.KEY_INVALID, "Send your team key as `Authorization: Bearer <key>`; no other scheme works.")
    caller = policy.callers.get(hashlib.sha256(key.strip()).hexdigest()) if len(key) <= _LONGEST_KEY else None
    if caller is None:
        raise refusal_of_unknown_key()
    return caller


def identify_once(policy: PolicySet, notes: MutableMapping[str, Any], values: Callable[[bytes], list[bytes]]) -> Caller:
    """As `identify`; `values` are those of a header. Whom it finds stands in the `notes` of a head that may come again.

    Under another policy generation it is looked for anew. Nothing of one that is over lives on for a note.
    """
    known = notes.get("caller")
    if known is not None and known[0]() is policy:
        return cast("Caller", known[1]())
    caller = identify(policy, values(b"authorization"))
    notes["caller"] = ref(policy), ref(caller)
    return caller


class Doorkeeper:
    """Counts bad keys per client address and minute, in a bounded table."""

    def __init__(self) -> None:
        self._minute = 0
        self._bad: dict[str, int] = {}

    def note_bad_key(self, address: str, now: float) -> None:
        """One more bad key came. Refusal 429 once the address has sent too many this minute."""
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._bad = minute, {}
        count = self._bad.get(address, 0) + 1
        if count > _BAD_KEYS_PER_MINUTE:
            wait = max(1, int(60 - now % 60) + 1)
            raise Refusal(
                Code.RATE_LIMITED,
                "Too many unknown keys came from this address; check the key, then try again.",
                retry_after=wait,
                rate_limit=RateLimit("unknown keys", _BAD_KEYS_PER_MINUTE, 60, wait * 1000),
            )
        if address in self._bad or len(self._bad) < _MOST_ADDRESSES:
            self._bad[address] = count


def client_address(scope: Any, trusted: tuple[Network, ...]) -> str:
    """The peer's address, or the right-most untrusted hop of `X-Forwarded-For` behind a trusted proxy."""
    peer = scope.get("client")
    address = peer[0] if peer else ""
    if not trusted or not _is_trusted(address, trusted):
        return address
    hops = [
        hop.strip().decode("latin-1")
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for hop in value.split(b",")
    ]
    for hop in reversed(hops[-_MOST_HOPS:]):
        if not _is_address(hop):
            break
        address = hop
        if not _is_trusted(hop, trusted):
            break
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in trusted)
