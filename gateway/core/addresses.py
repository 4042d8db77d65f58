"""Where the gateway may call besides upstream: https URLs of listed hosts, at addresses that are anybody's.

A URL that a team gives is a way into the network the gateway stands in. So its host must be a plain DNS name that the
policy lists, and each address that name has must be public. What other parsers read differently is refused outright.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

LONGEST_URL = 2048
"""Characters; most servers take no more of a request line's target."""

HOST_PATTERN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
"""What a policy may list: `hooks.example.com`, or `*.example.com` for every name below that one."""

_HOST = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_URL = re.compile(r"https://([^/?#\\]*)((?:/[!$&-;=@-Z_a-z~%]*)?(?:\?[!$&-;=?-Z_a-z~%/]*)?)", re.IGNORECASE)
"""RFC 3986 §3 without a fragment, which no server ever sees."""

_IPV4_CLOSED = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # public by its number; in Azure it is the platform's own
    )
)
"""IANA's registry of special IPv4 addresses (RFC 6890). Written out, because Python's own list differs by version."""

_IPV6_OPEN = IPv6Network("2000::/3")
"""All that is given out of IPv6: what lies outside is loopback, local, multicast or nobody's."""

_IPV6_CLOSED = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
"""What of it is special all the same; `_embedded` looks into 6to4 (2002::/16)."""

_NAT64 = IPv6Network("64:ff9b::/96")


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
    if ":" in authority and port != "443" and not authority.startswith("["):  # in brackets: an address of IPv6
        raise ValueError("must not name a port: it is always 443")
    if not _HOST.fullmatch(host):
        raise ValueError("must name its host as a DNS name such as `hooks.example.com`: no address, no dot at its end")
    if not is_listed(host, hosts):
        raise ValueError(f"must be on a host that the team's policy lists; `{host}` is not")
    return Target(host, path if path.startswith("/") else f"/{path}")


def is_listed(host: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the host, or `*.` and a name that the host is below."""
    return any(host == pattern or (pattern[:2] == "*." and host.endswith(pattern[1:])) for pattern in patterns)


def is_public(address: str) -> bool:
    """Whether an IP address, or the IPv4 address that it embeds, is one of the open internet.

    Private, loopback, link-local (where clouds keep their metadata), shared, multicast, reserved and documentation
    addresses are not; neither is what is no address.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        embedded = _embedded(found)
        if embedded is None:
            return found in _IPV6_OPEN and not any(found in network for network in _IPV6_CLOSED)
        found = embedded
    return not any(found in network for network in _IPV4_CLOSED)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address a packet to this one ends at: mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056).

    Teredo (RFC 4380), compatible and locally translated addresses lie in what is closed anyway.
    """
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
