"""Requests as bytes, and the client's side of a connection that carries them."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests.fake_upstream import Q

KEY_A = "canary-key-of-team-a"
KEY_B = "canary-key-of-team-b"


@dataclass
class Answer:
    """A response as it came over the wire. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @classmethod
    def of(cls, response: httpx.Response) -> "Answer":
        return cls(response.status_code, dict(response.headers), response.content)


def parse(raw: bytes, *, bodyless: bool = False) -> list[Answer]:
    """The responses in `raw`, all with a Content-Length; `bodyless` for those to HEAD."""
    found = []
    while raw:
        start, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = start.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if bodyless else int(headers.get("content-length", "0"))
        found.append(Answer(int(first.split()[1]), headers, rest[:size]))
        raw = rest[size:]
    return found


def head(method: str, target: str, *lines: str, key: str | None = KEY_A) -> bytes:
    """A request's head, byte for byte, with a Host and (unless None) a team's key."""
    always = ["Host: gateway"] if key is None else ["Host: gateway", f"Authorization: Bearer {key}"]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *always, *lines, "", ""]).encode("latin-1")


def get(target: str, *lines: str, key: str | None = KEY_A) -> bytes:
    """A whole GET."""
    return head("GET", target, *lines, key=key)


def post(body: bytes, *lines: str, target: str = f"{Q}/requests", key: str | None = KEY_A) -> bytes:
    """A whole POST with its right length; without more said, a create."""
    return head("POST", target, f"Content-Length: {len(body)}", *lines, key=key) + body


def draft(model: str = "Veo3", **payload: Any) -> bytes:
    """The body of a create."""
    return json.dumps({"model": model, "payload": {"prompt": "a lighthouse"} | payload}).encode()


@dataclass
class Wire:
    """A client's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *packets: bytes, pause: float = 0.0) -> int:
        """Send the packets one by one, until the gateway closes; how many bytes of them went out."""
        sent = 0
        with suppress(ConnectionError):
            for packet in packets:
                self.writer.write(packet)
                await self.writer.drain()
                sent += len(packet)
                await asyncio.sleep(pause)
        return sent

    async def rest(self, seconds: float = 5.0) -> bytes:
        """All that comes until the gateway closes, which it must do within `seconds`."""
        received = b""
        with suppress(ConnectionError):
            while more := await asyncio.wait_for(self.reader.read(65536), seconds):
                received += more
        return received

    async def answer(self, seconds: float = 5.0, *, bodyless: bool = False) -> Answer:
        """The next response, which must begin within `seconds`. The connection stays open."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), seconds)
        (answer,) = parse(raw, bodyless=True)
        size = 0 if bodyless else int(answer.headers.get("content-length", "0"))
        answer.body = await asyncio.wait_for(self.reader.readexactly(size), 5)
        return answer
