"""The pages' own files, and the team page on the public listener: what a browser gets before it has a key.

These are the only answers to callers nobody knows. They are the same for everybody, say nothing of teams, policies or
this machine, count for no team, and come from exact paths. What the team page shows it asks for with the key that was
pasted into it, by the calls any app makes.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gateway.core.fields import etag_of
from gateway.core.headers import Headers
from gateway.web.call import Call
from gateway.web.conditional import unchanged
from gateway.web.respond import Reply
from gateway.web.routes import Endpoint, Method, Route, with_head

_FOLDER = Path(__file__).parent / "page_files"
_MEDIA_TYPES = {".css": b"text/css", ".js": b"text/javascript", ".html": b"text/html"}
_GATEWAY_URL = b"{gateway_url}"
_TEAM_FILES = ("page.css", "page.js", "thumbnails.js", "team.js")

CONTENT_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content Security Policy Level 3: nothing inline, nothing from elsewhere, in nobody's frame."""


def safeguards(referrer: bytes) -> Headers:
    """What every page tells the browser. `referrer` is the Referrer-Policy."""
    return (
        (b"content-security-policy", CONTENT_POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", referrer),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    )


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    body: bytes
    media_type: bytes
    etag: bytes


@lru_cache(maxsize=16)
def read_file(name: str, gateway_url: str = "") -> PageFile:
    """A file of the pages; `gateway_url` is put in where the file names it."""
    path = _FOLDER / name
    body = path.read_bytes().replace(_GATEWAY_URL, gateway_url.encode())
    return PageFile(body, _MEDIA_TYPES[path.suffix] + b"; charset=utf-8", etag_of(body))


def file_reply(file: PageFile, if_none_match: list[bytes]) -> Reply:
    """The file, or 304 to one who holds it. A browser keeps it, and asks every time whether it is still good."""
    headers = (
        (b"content-type", file.media_type),
        (b"cache-control", b"public, no-cache"),
        (b"etag", file.etag),
        *safeguards(b"no-referrer"),
    )
    if if_none_match and unchanged(if_none_match, file.etag):
        return Reply(304, b"", headers)
    return Reply(200, file.body, headers)


def _serving(name: str) -> Endpoint:
    async def endpoint(call: Call) -> Reply:
        gateway_url = call.gw.settings.public_url if name == "team.html" else ""
        return file_reply(read_file(name, gateway_url), call.headers(b"if-none-match"))

    return endpoint


def page_routes() -> tuple[Route, ...]:
    """The team page and its files, which everybody may have."""
    files = {"/gateway/": "team.html", **{f"/gateway/{name}": name for name in _TEAM_FILES}}
    return tuple(
        Route(path, path, with_head({"GET": Method(_serving(name), None)}), is_open=True)
        for path, name in files.items()
    )
