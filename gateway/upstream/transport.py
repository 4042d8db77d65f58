"""The connections to upstream behind httpx's transport interface: a lean HTTP/1.1 client of our own.

No cookies, no redirects, no proxies, no inflating, no repeating. What is raised says how far the request got: the
three of never-sent are ConnectError, ConnectTimeout and PoolTimeout (and UnsupportedProtocol); with any other exception
it may have reached upstream.
"""

import re
import ssl
from collections.abc import AsyncIterable
from typing import cast

import httpx

from gateway.upstream.dialing import Dialer, Origin
from gateway.upstream.pool import Pool

CONNECT_TIMEOUT = 10.0
"""Seconds for name resolution, TCP and TLS together, and for finding a place in the pool."""

_PORTS = {"http": 80, "https": 443}
_TARGET = re.compile(rb"[\x21-\x7e]+")
_EXTENSIONS = {"http_version": b"HTTP/1.1"}


def build_transport(connections: int, trusted: ssl.SSLContext | None = None) -> httpx.AsyncBaseTransport:
    """A transport over at most `connections` connections.

    Certificates are always verified, against `trusted` or else certifi's roots; `SSL_CERT_FILE` and `SSL_CERT_DIR`
    may name other roots, nothing turns verification off.
    """
    context = trusted or trusted_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return Transport(Pool(connections, Dialer(context)))


def trusted_context() -> ssl.SSLContext:
    """Whom the gateway trusts to be upstream: certifi's roots, or those `SSL_CERT_FILE` or `SSL_CERT_DIR` name."""
    return httpx.create_ssl_context()


class Transport(httpx.AsyncBaseTransport):
    """Sends requests over a pool. The total time is the caller's to bound.

    Of a request's extensions it knows `timeout` (its `connect` and `pool`), `target` (sent instead of the URL's path
    and query) and `sni_hostname` (whom the certificate must name, where the URL's host is an address checked before).
    A body needs a Content-Length. A response must be read to its end or closed.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and return when the head of the answer has come."""
        head, length = _request_head(request)
        origin = _origin(request)
        connection = self._pool.take(origin)
        if connection is None:
            limits = request.extensions.get("timeout", {})
            connect, pool = (limits.get(name) or CONNECT_TIMEOUT for name in ("connect", "pool"))
            connection = await self._pool.open(origin, connect, pool)
        body = cast("AsyncIterable[bytes]", request.stream) if length else None
        reply = await connection.ask(head, body, length, bodiless=request.method == "HEAD")
        return httpx.Response(reply.status, headers=reply.headers, stream=reply, extensions=_EXTENSIONS)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.close()


def _origin(request: httpx.Request) -> Origin:
    url = request.url
    port = _PORTS.get(url.scheme)
    if port is None or not url.host:
        raise httpx.UnsupportedProtocol("only http:// and https:// with a host are supported")
    name = request.extensions.get("sni_hostname") or url.host if url.scheme == "https" else ""
    return Origin(url.host, url.port or port, name)


def _request_head(request: httpx.Request) -> tuple[bytes, int]:
    """The request up to its body, and the body's length. Raises UnsupportedProtocol for what cannot be sent."""
    target = request.extensions.get("target") or request.url.raw_path
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    length = 0
    for name, value in request.headers.raw:
        lines.append(b"%b: %b" % (name, value))
        lowered = name.lower()
        if lowered == b"content-length":
            length = int(value)
        elif lowered == b"transfer-encoding":
            raise httpx.UnsupportedProtocol("a body is sent with its Content-Length")
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head or not _TARGET.fullmatch(target):
        raise httpx.UnsupportedProtocol("a header or the target holds what none may hold")
    return head + b"\r\n\r\n", length
