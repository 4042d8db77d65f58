"""HTTP calls of the demo: sent from here, and shown as the `curl` that does the same."""

import json
import shlex
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 60.0
"""Seconds one call may take: more than any simulated model holds its POST."""

_LONGEST_SHOWN = 220


class BrokenStoryError(Exception):
    """An answer lacks what the next step needs; the text says what."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `body` is sent; where it stands in a file, `file` is that, and `save_as` is where a download goes."""

    method: str
    url: str
    key: str = ""
    body: bytes | None = None
    content_type: str = ""
    file: str = ""
    save_as: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The header fields it is sent with."""
        fields = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return fields | ({"Content-Type": self.content_type} if self.content_type else {})

    def curl(self) -> str:
        """The command that does this in a shell, an option a line."""
        options = [["-H", f"{name}: {value}"] for name, value in self.headers.items()]
        if self.file:
            options.append(["-T", self.file])
        elif self.body is not None:
            options.append(["-d", self.body.decode()])
        if self.save_as:
            options.append(["-o", self.save_as])
        return " \\\n       ".join([f"curl -sS {shlex.quote(self.url)}", *map(shlex.join, options)])


@dataclass(frozen=True, slots=True)
class Response:
    """Its answer."""

    status: int
    content_type: str
    body: bytes

    def field(self, *path: str) -> Any:
        """The value at a path of names in the JSON body. Raises BrokenStoryError where there is none."""
        try:
            value = json.loads(self.body)
            for name in path:
                value = value[name]
        except (ValueError, KeyError, TypeError):
            raise BrokenStoryError(f"the answer has no {'.'.join(path)}") from None
        return value

    def shown(self) -> str:
        """Status and body, cut short; only type and size of what is not text."""
        if self.content_type.startswith(("application/json", "text/", "application/xml")) or not self.body:
            text = self.body.decode(errors="replace")
            return f"{self.status} {text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + ' …'}".rstrip()
        return f"{self.status} {self.content_type}, {len(self.body)} bytes"


def send(request: Request) -> Response:
    """Send it, and wait for the whole answer. Raises BrokenStoryError where none comes.

    The standard library's client knows no proxy settings, which have no say on a loopback address.
    """
    parts = urlsplit(request.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        connection.request(request.method, target, request.body, request.headers)
        answer = connection.getresponse()
        return Response(answer.status, answer.headers.get("Content-Type", ""), answer.read())
    except (OSError, HTTPException) as error:
        raise BrokenStoryError(f"no answer from {parts.netloc}: {error}") from None
    finally:
        connection.close()
