"""The way to upstream: a lean HTTP/1.1 client of our own, which is one of httpx's transports too.

No cookies, no redirects, no proxies, no inflating, no repeating. What is raised says how far the request got: with
ConnectError, ConnectTimeout, PoolTimeout and UnsupportedProtocol nothing was sent; with any other exception it may have
reached upstream.
"""

import ssl
from collections.abc import AsyncIterable, Coroutine
from typing import Any, cast

import httpx

from gateway.upstream.connection import Connection
from gateway.upstream.dialing import Dialer, Origin
from gateway.upstream.outgoing import Outgoing, header_lines, in_chunks, request_line
from gateway.upstream.pool import Pool

CONNECT_TIMEOUT = 10.0
"""Seconds for name resolution, TCP and TLS together, and as many to wait for a place in the pool."""

_PORTS = {"http": 80, "https": 443}
_EXTENSIONS = {"http_version": b"HTTP/1.1"}


def build_transport(connections: int, trusted: ssl.SSLContext | None = None) -> "Transport":
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
    """Sends requests over a pool. The total time is the caller's to bound."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def take(self, origin: Origin) -> Connection | None:
        """As the pool's: a connection to ask on at once, if there is one that is idle."""
        return self._pool.take(origin)

    def connect(self, origin: Origin, patience: float) -> Coroutine[Any, Any, Connection]:
        """As the pool's: a connection to ask on at once. Up to then nothing was sent."""
        return self._pool.connect(origin, patience)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and return when the head of the answer has come: for who speaks httpx.

        Of a request's extensions it knows `timeout` (its `connect`), `target` (sent instead of the URL's path and
        query), `sni_hostname` (whom the certificate must name, where the URL's host is an address checked before) and
        `head_suffices` (that a body which is refused or broken off as soon as it comes does not undo the answer).
        The request brings all its headers, and for a body its Content-Length, or `Transfer-Encoding: chunked`.
        """
        origin = origin_of(request.url, request.extensions.get("sni_hostname"))
        length = _length_of(request.headers)
        target = request.extensions.get("target", request.url.raw_path)
        head = request_line(request.method, target) + header_lines(request.headers.raw)
        stream = cast("AsyncIterable[bytes]", request.stream)
        body = in_chunks(stream) if length is None else stream if length else None
        patience = request.extensions.get("timeout", {}).get("connect") or CONNECT_TIMEOUT
        connection = await self.connect(origin, patience)
        reply = await connection.ask(Outgoing(head, body, length, request.method == "HEAD"))
        if not request.extensions.get("head_suffices", False):
            reply.raise_failure()
        return httpx.Response(reply.status, headers=reply.headers, stream=reply, extensions=_EXTENSIONS)

    async def aclose(self) -> None:
        """Close every connection."""
        self._pool.close()


def origin_of(url: httpx.URL, server_name: str | None = None) -> Origin:
    """Whom a URL leads to. Raises UnsupportedProtocol."""
    port, host = _PORTS.get(url.scheme), url.raw_host.decode("ascii")
    if port is None or not host:
        raise httpx.UnsupportedProtocol("only http:// and https:// with a host are supported")
    return Origin(host, url.port or port, (server_name or host) if url.scheme == "https" else "")


def _length_of(headers: httpx.Headers) -> int | None:
    """Bytes of a request's body; None if it is sent in chunks. Raises UnsupportedProtocol if both are said, or else."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is None:
        return int(length or "0")
    if length is not None or coding != "chunked":
        raise httpx.UnsupportedProtocol("a body is sent with its Content-Length, or in chunks")
    return None
