"""Where the pages for people are. What makes them is loaded with the first one that anybody asks for.

Until then a gateway need not hold it, and many a gateway is only ever asked by programs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.context import Gateway


def page_routes(gw: Gateway) -> list[Route]:
    """The pages of one gateway."""

    @cache
    def pages() -> Any:
        return import_module("gateway.web.admin.pages").Pages(gw)

    def shown(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            made_by = await asyncio.to_thread(pages)  # loading takes longer than other calls may be held up
            response: Response = await getattr(made_by, name)(request)
            return response

        return endpoint

    return [
        Route("/", shown("dashboard")),
        Route("/teams/{team}", shown("team")),
        Route("/jobs", shown("jobs")),
        Route("/explain", shown("explain"), methods=["GET", "POST"]),
        Route("/files/{name}", shown("file")),
    ]
