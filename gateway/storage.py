"""The hosts where GMI keeps files: which URLs the gateway calls there, and the calls, streamed both ways.

Whatever names a URL (upstream's answer, a job's record) does not decide where the gateway connects to: the host must be
one of `STORAGE_HOSTS`, its addresses public, and no redirect is followed. Storage is told nothing of who asks: no key,
no organisation, no header of the client but what kind of bytes, how many, and which of them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial

import httpx

from gateway import __version__
from gateway.core.addresses import Target, read_target
from gateway.core.errors import Code
from gateway.core.signed import STORAGE_HOSTS
from gateway.outbound import Endpoint, Outbound, OutboundFailure, url_of
from gateway.upstream.answer import Answer
from gateway.upstream.failures import Sent, UpstreamFailure
from gateway.upstream.fields import end_to_end

HEAD_PATIENCE = 30.0
"""Seconds for name, connection and the head of an answer, and then for each further part of its body."""

LONGEST_UPLOAD = 900.0
"""Seconds for an upload from its first byte to storage's answer: as long as its URL was good for."""

_LARGEST_WORD = 64 * 1024
"""Bytes of storage's answer to an upload, which is a short text."""

_CONNECT = 5.0
_SILENT = "Storage did not answer in time; try again."


@dataclass(frozen=True, slots=True)
class File:
    """A file that storage has begun to send. `parts` is its body, to be closed if it is not read to its end."""

    status: int
    headers: Mapping[str, str]
    parts: AsyncGenerator[bytes, None]


class Storage:
    """Calls to storage. `simulator` is the origin of a simulator whose storage is called as well; empty for none."""

    def __init__(self, outbound: Outbound, simulator: str = "") -> None:
        self._outbound = outbound
        self._simulator = simulator

    def read(self, url: str) -> Target:
        """What the URL names at storage. ValueError if it may not be called."""
        if self._simulator and url.startswith(f"{self._simulator}/"):
            target = read_target(url.replace(self._simulator, f"https://{STORAGE_HOSTS[0]}", 1), STORAGE_HOSTS)
            return Target(self._simulator.partition("://")[2], target.path)
        return read_target(url, STORAGE_HOSTS)

    async def fetch(self, target: Target, method: str, asked: bytes | None, stack: AsyncExitStack) -> File:
        """Begin to read a file, or the one range of it that is `asked` for. It is broken off when `stack` closes.

        Raises UpstreamFailure; so do the parts, if storage breaks off or falls silent.
        """
        headers = {} if asked is None else {"Range": asked.decode("ascii")}
        response = await self._ask(target, partial(_request, method, target, headers, None), stack, HEAD_PATIENCE)
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise UpstreamFailure.invalid("Storage's answer is compressed although it was asked not to be")
        return File(response.status_code, response.headers, _parts(response))

    async def store(self, target: Target, content_type: str, length: int | None, body: AsyncIterator[bytes]) -> Answer:
        """Send a file; storage's answer. If `body` raises, the upload is broken off and nothing of it is kept.

        `length` is in bytes; None if nobody knows it. Raises UpstreamFailure, and what `body` raises.
        """
        headers = {"Content-Type": content_type}
        headers |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        async with AsyncExitStack() as stack:
            make = partial(_request, "PUT", target, headers, body)
            response = await self._ask(target, make, stack, LONGEST_UPLOAD)
            said = bytearray()
            async with aclosing(_parts(response)) as parts:
                async for part in parts:
                    said += part
                    if len(said) > _LARGEST_WORD:
                        raise UpstreamFailure.invalid("Storage's answer is longer than the gateway passes on")
            return Answer(response.status_code, end_to_end(response.headers.raw), bytes(said))

    async def _ask(
        self, target: Target, make: Callable[[Endpoint], httpx.Request], stack: AsyncExitStack, patience: float
    ) -> httpx.Response:
        """The answer to a request, when its head has come; a redirect is none."""
        try:
            async with asyncio.timeout(patience):
                places = await self._places(target)
                response = await self._outbound.open(places, make, stack)
        except OutboundFailure as failure:
            raise UpstreamFailure(Sent.MAYBE, Code.UPSTREAM_UNREACHABLE, f"Storage: {failure}; try again.") from failure
        except TimeoutError:
            raise UpstreamFailure(Sent.MAYBE, Code.UPSTREAM_TIMEOUT, _SILENT) from None
        if 300 <= response.status_code <= 399:
            raise UpstreamFailure.invalid("Storage answered with a redirect, which is not followed")
        return response

    async def _places(self, target: Target) -> Sequence[Endpoint]:
        host, _, port = target.host.partition(":")
        return [Endpoint(host, int(port))] if port else await self._outbound.places(host)


def _request(
    method: str, target: Target, headers: Mapping[str, str], body: AsyncIterator[bytes] | None, place: Endpoint
) -> httpx.Request:
    """The request to one place. Only a simulator's target has a port, and goes without TLS."""
    is_simulator = ":" in target.host
    extensions: dict[str, object] = {"target": target.path.encode("ascii"), "timeout": {"connect": _CONNECT}}
    if not is_simulator:
        extensions["sni_hostname"] = target.host
    return httpx.Request(
        method,
        f"{url_of(place, 'http' if is_simulator else 'https')}/",
        headers={
            "Host": target.host,
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": f"gmi-gateway/{__version__}",
            **headers,
        },
        content=body,
        extensions=extensions,
    )


async def _parts(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises UpstreamFailure where it breaks off or nothing more comes."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    parts = aiter(response.stream)
    while True:
        try:
            async with asyncio.timeout(HEAD_PATIENCE):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except httpx.TransportError as error:
            raise UpstreamFailure.invalid("Storage broke off in the middle of a file") from error
        except TimeoutError:
            raise UpstreamFailure(Sent.ANSWERED, Code.UPSTREAM_TIMEOUT, _SILENT) from None
        yield part
