"""The connections to upstream: aiohttp's pool behind httpx's transport interface.

Three things are mended at this border. A pooled connection on which upstream has already spoken is closed, because
those bytes would be taken for the next caller's answer. aiohttp does not repeat calls of its own accord, because
repeats are counted in one place. And its exceptions become the httpx ones that say how far a request got: the stock
table calls a connection lost after sending a `ConnectTimeout`.
"""

import select
import ssl
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

CONNECT_TIMEOUT = 10.0
"""Seconds for name resolution, TCP and TLS together."""

_IDLE = 30.0
"""Seconds an idle connection is kept; load balancers commonly close theirs after 60 or more."""

_LONGEST_FIELD = 16 * 1024
_MOST_FIELDS = 128

_BORDER: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)


def build_transport(connections: int, trusted: ssl.SSLContext | None = None) -> httpx.AsyncBaseTransport:
    """A transport over at most `connections` connections. No cookies, no redirects, no proxies, no inflating.

    Certificates are always verified, against `trusted` or else certifi's roots; `SSL_CERT_FILE` and `SSL_CERT_DIR`
    may name other roots, nothing turns verification off.
    """
    context = trusted or trusted_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connector(limit=connections, keepalive_timeout=_IDLE, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_translate_errors,),
            trust_env=False,
            auto_decompress=False,
            max_line_size=_LONGEST_FIELD,
            max_field_size=_LONGEST_FIELD,
            max_headers=_MOST_FIELDS,
        )

    return AiohttpTransport(verify=context, trust_env=False, client=open_session)


def trusted_context() -> ssl.SSLContext:
    """Whom the gateway trusts to be upstream: certifi's roots, or those `SSL_CERT_FILE` or `SSL_CERT_DIR` name."""
    return httpx.create_ssl_context()


async def _translate_errors(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Connect, send, and read the answer's head, raising httpx's exceptions, which aiohttp does not repeat on."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        meaning = next(theirs for ours, theirs in _BORDER if isinstance(error, ours))
        raise meaning(type(error).__name__) from error


class _Connector(aiohttp.TCPConnector):
    """Uses a connection again only while upstream is silent on it (RFC 9112 §9.2: it answers, it does not begin)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None
            if protocol not in self._used or _is_silent(protocol):
                self._used.add(protocol)
                return connection
            connection.close()


def _is_silent(protocol: ResponseHandler) -> bool:
    """Whether nothing, not even upstream's close, has come: neither read by the loop nor waiting in the socket."""
    if protocol.should_close or protocol.transport is None:
        return False
    waiting = select.poll()
    waiting.register(protocol.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not waiting.poll(0)
