"""`doctor` on the way to upstream: name, connection, certificate, clock. No credential is sent."""

import http.client
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from gateway.cli.doctor_local import EXPIRES_SOON
from gateway.cli.findings import Finding, fail, ok, skip, warn
from gateway.upstream.request import PREFIX
from gateway.upstream.transport import trusted_context

TOLERATED_SKEW = 5.0
"""Seconds by which two clocks may differ unnoticed."""

LARGEST_SKEW = 60.0
"""Seconds from which lost creates are not found again in upstream's list."""

_MOST_ADDRESSES = 3
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def check_network(url: str, seconds: float) -> list[Finding]:
    """Each step on the way to upstream, up to the first that fails. Blocks for about so many seconds at most."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        remedy = "check GATEWAY_UPSTREAM_URL (--upstream) and this machine's name server"
        return [fail("dns", f"{host} cannot be resolved: {error.strerror}", remedy)]
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    name = ok("dns", f"{host} is {', '.join(addresses[:_MOST_ADDRESSES])}")
    return [name, *_check_connection(host, port, seconds, secure=secure)]


def _check_connection(host: str, port: int, seconds: float, *, secure: bool) -> list[Finding]:
    connection = (
        http.client.HTTPSConnection(host, port, timeout=seconds, context=trusted_context())
        if secure
        else http.client.HTTPConnection(host, port, timeout=seconds)
    )
    try:
        connection.connect()
        found = [_check_certificate(connection.sock) if secure else _without_tls(host)]
        connection.request("HEAD", f"{PREFIX}/models", headers={"User-Agent": "gmi-gateway doctor"})
        date = connection.getresponse().getheader("Date", "")
        return [*found, check_date("upstream", date, now())]
    except ssl.SSLCertVerificationError as error:
        remedy = (
            "if a proxy of yours opens TLS, name its root certificate in SSL_CERT_FILE; nothing turns this check off"
        )
        return [fail("tls", f"{host} is not trusted: {error.verify_message}", remedy)]
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        remedy = "look at the firewall and at GATEWAY_UPSTREAM_URL (--upstream); the gateway uses no proxy"
        return [fail("tls" if secure else "connection", f"{host}:{port} does not answer: {reason}", remedy)]
    finally:
        connection.close()


def _without_tls(host: str) -> Finding:
    if host in _LOOPBACK:
        return skip("tls", "none: upstream is on this machine")
    remedy = "use https in GATEWAY_UPSTREAM_URL (--upstream)"
    return warn("tls", "none: keys and prompts go to upstream readably", remedy)


def _check_certificate(connection: socket.socket) -> Finding:
    assert isinstance(connection, ssl.SSLSocket)
    certificate = connection.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((ends - now()) // 86400)
    text = f"{connection.version()}, certificate verified, {days} days left"
    if ends - now() >= EXPIRES_SOON:
        return ok("tls", text)
    return warn("tls", text, "whoever runs upstream has to renew it; after that day no call goes through")


def check_date(whose: str, date: str, instant: float) -> Finding:
    """This machine's clock against the `Date` of an answer (RFC 9110 §6.6.1), which is in whole seconds."""
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return skip("clock", f"{whose} sends no date")
    return check_clock(whose, theirs if theirs > instant else min(instant, theirs + 1), instant)


def check_clock(whose: str, theirs: float, ours: float) -> Finding:
    """Two clocks, in unix seconds."""
    skew = ours - theirs
    if abs(skew) <= TOLERATED_SKEW:
        return ok("clock", f"within {TOLERATED_SKEW:g} s of {whose}'s")
    text = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {whose}'s"
    remedy = "set the clocks by NTP: expiry, windows and the search for lost creates go by them"
    return fail("clock", text, remedy) if abs(skew) > LARGEST_SKEW else warn("clock", text, remedy)


def now() -> float:
    """What this machine's clock shows."""
    return time.time()  # noqa: TID251 - the clock itself is examined
