"""Where the gateway may call besides upstream: https URLs of listed hosts, at addresses that are anybody's.

A URL that a team gives is a way into the network the gateway stands in. So its host must be a plain DNS name that the
policy lists, and each address that name has must be public. What other parsers read differently is refused outright.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

LONGEST_URL = 2048
"""Characters; most servers take no more of a request line's target."""

HOST_PATTERN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
"""What a policy may list: `hooks.example.com`, or `*.example.com` for every name below that one."""

_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_URL = re.compile(r"https://([^/?#\\]*)((?:/[!$&-;=@-Z_a-z~%]*)?(?:\?[!$&-;=?-Z_a-z~%/]*)?)", re.IGNORECASE)
"""RFC 3986 §3 without a fragment, which no server ever sees."""

_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, taken apart. `path` begins with `/` and holds the query. The port is always 443."""

    host: str
    path: str


def read_target(url: str, hosts: Iterable[str]) -> Target:
    """The target that `url` names. ValueError, a clause that says what to do, unless a pattern of `hosts` allows it."""
    if len(url) > LONGEST_URL:
        raise ValueError(f"must have at most {LONGEST_URL} characters")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("must be an absolute `https://` URL in plain ASCII, without a fragment")
    authority, path = match[1].lower(), match[2]
    if "@" in authority:
        raise ValueError("must not hold a user name or password")
    host, _, port = authority.partition(":")
    if ":" in authority and port != "443":
        raise ValueError("must not name a port: it is always 443")
    if not _HOST.fullmatch(host):
        raise ValueError("must name its host as a DNS name such as `hooks.example.com`, not by an address")
    if not is_listed(host, hosts):
        raise ValueError(f"must be on a host that the team's policy lists; `{host}` is not")
    return Target(host, path if path.startswith("/") else f"/{path}")


def is_listed(host: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the host, or `*.` and a name that the host is below."""
    return any(host == pattern or (pattern[:2] == "*." and host.endswith(pattern[1:])) for pattern in patterns)


def is_public(address: str) -> bool:
    """Whether an IP address, and every IPv4 address that it embeds, is one of the open internet.

    Private, loopback, link-local (where clouds keep their metadata), shared (100.64.0.0/10), multicast, reserved and
    documentation addresses are not; neither is what is no address.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return all(each.is_global and not each.is_multicast and not each.is_reserved for each in _meant_by(found))


def _meant_by(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses a packet to this one may end at: itself, unless it is only a wrapping, and those it embeds.

    `is_global` holds the wrappings of 6to4, Teredo and NAT64 (RFC 3056, 4380, 6052) for public whatever they embed.
    """
    if isinstance(address, IPv4Address):
        yield address
        return
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or (address in _COMPATIBLE and int(address) > 1) or address in _NAT64:
        yield low
        return
    yield address
    if address in _NAT64_LOCAL:
        yield IPv4Address("0.0.0.0")  # noqa: S104 - where its network is translated to is the operator's own
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
