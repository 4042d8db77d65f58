"""The route of the OpenAPI document. It is made when it is first asked for, beside the loop: nobody waits for that."""

import asyncio
from functools import lru_cache
from importlib import import_module

import msgspec

from gateway.core.fields import etag_of
from gateway.web.call import Call
from gateway.web.pages import PageFile, file_reply
from gateway.web.respond import Reply
from gateway.web.routes import Method, Route, RouteTable, with_head

PATH = "/gateway/v1/openapi.json"


def with_document(routes: tuple[Route, ...]) -> RouteTable:
    """The table of these routes and of one more: the document, which describes them all."""

    async def endpoint(call: Call) -> Reply:
        file = await asyncio.to_thread(made_for, call.gw.settings.public_url)
        return file_reply(file, call.headers(b"if-none-match"))

    @lru_cache(maxsize=1)
    def made_for(public_url: str) -> PageFile:
        # By name, because most gateways are never asked, and need not hold all that the document says.
        body = msgspec.json.encode(import_module("gateway.web.openapi").document((*routes, route), public_url))
        return PageFile(body, b"application/json", etag_of(body))

    route = Route(PATH, PATH, with_head({"GET": Method(endpoint, None)}), is_open=True)
    return RouteTable((*routes, route))
