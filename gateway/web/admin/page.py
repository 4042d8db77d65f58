"""A page for a browser, made beside the loop: neither a long table nor the first page's templates hold up a call."""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from starlette.responses import Response

from gateway.web.admin.answers import as_response
from gateway.web.pages import safeguards
from gateway.web.respond import Reply

_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    *safeguards(b"same-origin"),  # with `no-referrer` browsers would send `Origin: null` with a form
)


async def page(template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """A template filled with values that nobody changes any more; no cache keeps it."""
    return as_response(Reply(status, await asyncio.to_thread(_render, template, values), _HEADERS))


def _render(template: str, values: Mapping[str, Any]) -> bytes:
    # With the first page, because many a gateway never shows one, and the template engine takes two megabytes.
    rendered: bytes = import_module("gateway.web.admin.rendering").render(template, values)
    return rendered
