"""A raw path finds its place as it was sent, or none."""

import re

import pytest

from gateway.core.errors import Code, Refusal
from gateway.core.policy import Scope
from gateway.web.call import Call
from gateway.web.respond import Reply
from gateway.web.routes import Method, Route, RouteTable, method_of, with_head


async def nothing(_: Call) -> Reply:
    return Reply(200, b"")


GET = Method(nothing, Scope.JOBS_READ)
LIST = Route("/things", "/v1/things", with_head({"GET": GET, "POST": GET}))
THING = Route("/things/{id}", "/v1/things/", {"DELETE": GET}, re.compile(rb"[a-z]+"))
PARTS = Route("/things/{id}/parts", "/v1/things/", {"GET": GET}, re.compile(rb"[a-z]+"), "/parts")
PART = Route("/things/{id}/parts/{name}", "/v1/things/", {"GET": GET}, re.compile(rb"[a-z]+"), "/parts/{name}")
TABLE = RouteTable((LIST, THING, PARTS, PART))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/v1/things", (LIST, "")),
        (b"/v1/things/abc", (THING, "abc")),
        (b"/v1/things/abc/parts", (PARTS, "abc")),
        (b"/v1/things/ABC/parts", None),
        (b"/v1/things//parts", None),
        (b"/v1/things/parts/parts", (PARTS, "parts")),
        (b"/v1/things/abc/parts/", None),
        (b"/v1/things/abc/parts/x.y", (PART, "abc")),
        (b"/v1/things/abc/parts/x/y", None),
        (b"/v1/things/ABC/parts/x", None),
        (b"/v1/things/abc/bits/x", None),
        (b"/v1/things/abc//parts", None),
        (b"/v1/other/abc/parts", None),
        (b"/parts", None),
        (b"/v1/things/", None),
        (b"/v1/things/ABC", None),
        (b"/v1/things/abc/", None),
        (b"/v1/things/abc/def", None),
        (b"/v1/things/%61", None),
        (b"/v1/things/abc\n", None),
        (b"//v1/things", None),
        (b"/V1/things", None),
        (b"/v1", None),
        (b"", None),
        (b"*", None),
    ],
)
def test_a_path_is_compared_as_it_was_sent(path: bytes, found: tuple[Route, str] | None) -> None:
    assert TABLE.find(path) == found


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        (b"/v1/things/", "leave out the slash at its end"),
        (b"/v1/things/abc/", "leave out the slash at its end"),
        (b"/v1/things/abc/parts/x.y/", "leave out the slash at its end"),
        (b"/v1//things", "write it with single slashes"),
        (b"//v1/things/abc//", "write it with single slashes"),
        (b"/page", "put a slash at its end"),
        (b"//page/", "write it with single slashes"),
        (b"/v1/things/ABC/", ""),
        (b"/v2/things/", ""),
        (b"/", ""),
        (b"", ""),
    ],
)
def test_a_path_that_is_wrong_by_its_slashes_alone_is_told_so(path: bytes, advice: str) -> None:
    page = Route("/page/", "/page/", {"GET": GET})
    assert RouteTable((LIST, THING, PARTS, PART, page)).advise(path) == advice


def test_head_is_where_get_is() -> None:
    assert LIST.methods["HEAD"] is LIST.methods["GET"]
    assert with_head({"POST": GET}) == {"POST": GET}


def test_another_method_is_refused_with_the_ones_there_are() -> None:
    assert method_of(LIST, "POST") is GET
    with pytest.raises(Refusal) as refusal:
        method_of(LIST, "PATCH")
    assert refusal.value.code is Code.METHOD_NOT_ALLOWED
    assert refusal.value.headers == ((b"allow", b"GET, HEAD, POST"),)
