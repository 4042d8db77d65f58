"""What headers can do, which is little: rows HD1 to HD9."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.conftest import REAL_ORG
from tests.fake_upstream import Q
from tests.faults.conftest import OpenWorld, World, refused
from tests.faults.wire import KEY_A, draft, get, head, parse, post
from tests.scripted_upstream import Connection, ScriptedUpstream

USAGE = "/gateway/v1/usage"
NO_ORGANIZATION = {"gateway.yaml": "credentials: {default: {api_key: env:GMI_API_KEY}}\n"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def access_lines(world: World, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    world.house.gw.access_log.flush()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


ORGANIZATIONS = {
    "one": ["X-Organization-ID: theirs"],
    "two": ["x-organization-id: theirs", "x-organization-id: others"],
    "underscores": ["X_Organization_ID: theirs"],
    "spaces": ["X-Organization-Id:   theirs  "],
    "none": [],
}


@pytest.mark.parametrize("lines", ORGANIZATIONS.values(), ids=ORGANIZATIONS)
@pytest.mark.parametrize("configured", ["with", "without"])
async def test_hd1_the_organization_is_the_gateways(open_world: OpenWorld, configured: str, lines: list[str]) -> None:
    world = await open_world(files={} if configured == "with" else NO_ORGANIZATION)
    assert (await world.keeping(post(draft(), *lines))).status == 200
    (create,) = world.upstream.creates
    values = [value for name, value in create.headers if "organization" in name]
    assert values == ([REAL_ORG] if configured == "with" else [])
    await world.created()


EIGHTY = [
    *("Cookie: a=b", "Proxy-Authorization: Basic eA==", "Proxy-Connection: keep-alive", "Forwarded: for=1.2.3.4"),
    *("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /x"),
    *("X-Real-IP: 1.2.3.4", "X-Original-URL: /smuggled", "X-Rewrite-URL: /smuggled", "X-HTTP-Method-Override: DELETE"),
    *("X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "TE: trailers", "Trailer: Authorization"),
    *("Range: bytes=0-1", 'If-Match: "x"', 'If-None-Match: "x"', "If-Modified-Since: Mon, 23 Nov 2026 00:00:00 GMT"),
    *("If-Range: x", "Accept-Encoding: br, gzip", "Accept: text/html", "Via: 1.1 evil", "User-Agent: curl/8"),
    *("X-Amz-Date: x", "X-Amz-Security-Token: x", "Origin: https://evil", "Referer: https://evil", "Max-Forwards: 0"),
    *("Content-Language: de", "Content-MD5: x", "Digest: x", "Cache-Control: no-cache", "Pragma: no-cache", "DNT: 1"),
    *(f"X-Filler-{number}: {number}" for number in range(44)),
]


async def test_hd2_upstream_hears_the_gateways_headers_alone(world: World) -> None:
    assert len(EIGHTY) == 80
    answer = await world.keeping(post(draft(), *EIGHTY))
    assert (answer.status, answer.json["status"]) == (200, "queued")
    (create,) = world.upstream.creates
    heard = dict(create.headers)
    assert heard["accept-encoding"] == "identity"
    assert heard["accept"] == "application/json"
    assert heard["user-agent"].startswith("gmi-gateway/")
    assert create.body == draft()
    await world.created()
    world.upstream_saw_only_its_own()


async def test_hd2_expect_is_answered_here(world: World) -> None:
    wire = await world.connect()
    body = draft()
    await wire.send(head("POST", f"{Q}/requests", f"Content-Length: {len(body)}", "Expect: 100-continue"))
    assert (await wire.answer()).status == 100
    await wire.send(body)
    assert (await wire.answer()).status == 200
    await world.created()


async def test_hd3_connection_cannot_nominate_the_gateways_own_headers(world: World) -> None:
    nominated = "Connection: close, Authorization, X-Organization-ID, Content-Length, Host"
    assert (await world.closing(post(draft(), nominated))).status == 200
    (create,) = world.upstream.creates
    assert create.header("x-organization-id") == REAL_ORG
    assert create.header("content-length") == str(len(draft()))
    assert create.header("host") == world.upstream.url.removeprefix("http://")
    await world.created()


async def test_hd3_an_id_and_a_trace_that_connection_nominates_stay_here(world: World) -> None:
    lines = ["X-Request-ID: canary-1", f"Traceparent: {TRACEPARENT}", "Tracestate: canary=2"]
    answer = await world.closing(post(draft(), "Connection: close, traceparent, X-Request-ID", *lines))
    assert answer.status == 200
    (create,) = world.upstream.creates
    assert not {"traceparent", "tracestate"} & {name for name, _ in create.headers}
    assert create.header("x-request-id") == answer.headers["x-request-id"] != "canary-1"
    await world.created()


ADDED_HERE = {
    *("x-request-id", "server-timing", "ratelimit", "ratelimit-policy", "cache-control", "etag", "age", "cache-status"),
}


async def test_hd4_what_is_between_upstream_and_us_stays_there(world: World) -> None:
    world.upstream.headers = [
        *("Keep-Alive: timeout=5", "Connection: X-Foo", "X-Foo: 1", "Proxy-Authenticate: Basic", "Trailer: X-Sum"),
        *("Upgrade: h2c", "TE: trailers", "Server: upstream/1", "Set-Cookie: session=canary", "Alt-Svc: h3=':443'"),
        *("Strict-Transport-Security: max-age=1", "Access-Control-Allow-Origin: *", f"X-Organization-ID: {REAL_ORG}"),
        *("Authorization: Bearer somebody", "CF-RAY: 1", "X-Request-ID: theirs", "X-Kept: yes"),
    ]
    created = await world.a.create()
    job = f"{Q}/requests/{created.json()['request_id']}"
    polled, listed, deleted = (
        await world.a.get(job),
        await world.a.get(f"{Q}/models"),
        await world.a.call("DELETE", job),
    )
    for answer in (created, polled, listed, deleted):
        assert answer.status_code == 200
        assert set(answer.headers) - ADDED_HERE == {"date", "content-type", "content-length", "x-kept"}
        assert answer.headers["x-request-id"] != "theirs"
        assert "canary" not in str(answer.headers)


async def test_hd5_a_cookie_of_upstreams_reaches_nobody(world: World) -> None:
    world.upstream.headers = ["Set-Cookie: session=of-team-a; Path=/"]
    for client in (world.a, world.b, world.a):
        assert "set-cookie" not in (await client.create()).headers
    assert len(world.upstream.creates) == 3
    assert not [request for request in world.upstream.received if request.header("cookie")]


BAD_HOSTS = {
    "missing": [],
    "two": ["Host: gateway", "Host: gateway"],
    "path": ["Host: a/../b"],
    "user": ["Host: a@b"],
    "empty": ["Host:"],
    "port": ["Host: a:b"],
    "space": ["Host: a b"],
}


@pytest.mark.parametrize("lines", BAD_HOSTS.values(), ids=BAD_HOSTS)
async def test_hd6_exactly_one_valid_host(world: World, lines: list[str]) -> None:
    body = draft()
    start = ["POST", f"{Q}/requests", "HTTP/1.1\r\n"]
    rest = [*lines, f"Authorization: Bearer {KEY_A}", f"Content-Length: {len(body)}", "", ""]
    answer = await world.closing(" ".join(start).encode() + "\r\n".join(rest).encode() + body)
    refused(answer, 400, "invalid_request")
    await world.untouched()


async def test_hd6_an_absolute_target_dials_nobody(world: World) -> None:
    refused(await world.closing(head("GET", "http://evil.example/gateway/v1/usage")), 400, "invalid_request")
    async with ScriptedUpstream(Connection.hold) as evil:
        refused(await world.closing(head("GET", f"{evil.url}{Q}/models")), 400, "invalid_request")
        assert evil.connections == []


async def test_hd6_nothing_is_made_of_the_host(world: World) -> None:
    for target in (USAGE, f"{Q}/models", f"{Q}/models/", f"{Q}/requests", "/nope"):
        wire = await world.connect()
        await wire.send(get(target).replace(b"Host: gateway", b"Host: evil.example"))
        answer = await wire.answer()
        assert "location" not in answer.headers
        assert "evil" not in answer.body.decode() + str(answer.headers)


@pytest.mark.parametrize(
    ("trusted", "lines", "address"),
    [
        ("", ["X-Forwarded-For: 1.2.3.4"], "127.0.0.1"),
        ("10.0.0.0/8", ["X-Forwarded-For: 1.2.3.4"], "127.0.0.1"),
        ("127.0.0.0/8", ["X-Forwarded-For: 6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("127.0.0.0/8,10.0.0.0/8", ["X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.9"], "1.2.3.4"),
        ("127.0.0.0/8", ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"], "1.2.3.4"),
        ("127.0.0.0/8", ["X-Forwarded-For: 1.2.3.4, garbage"], "127.0.0.1"),
        ("127.0.0.0/8", ["X-Forwarded-For: "], "127.0.0.1"),
        ("127.0.0.0/8", ["X-Forwarded-For: " + ", ".join(["127.0.0.1"] * 1000)], "127.0.0.1"),
        ("127.0.0.0/8", ["X-Forwarded-For: ::ffff:1.2.3.4"], "::ffff:1.2.3.4"),
    ],
)
async def test_hd7_the_client_is_the_last_hop_nobody_vouches_for(
    open_world: OpenWorld, capsys: pytest.CaptureFixture[str], trusted: str, lines: list[str], address: str
) -> None:
    world = await open_world(trusted_proxies=trusted, access_log="on")
    answer = await world.keeping(get(USAGE, *lines))
    assert (answer.json["team"], answer.json["key"]) == ("a", "main")
    assert (await access_lines(world, capsys))[0]["client"] == address


TOO_MUCH = {
    "one-megabyte": head("GET", USAGE, "X-Big: " + "x" * 1_000_000),
    "endless": head("GET", USAGE, "X-Big: " + "x" * 40_000_000),
    "101-fields": head("GET", USAGE, *(f"X-{number}: 1" for number in range(99))),
    "33-kib": head("GET", USAGE, *(f"X-{number}: {'x' * 1000}" for number in range(33))),
}


@pytest.mark.parametrize("request_", TOO_MUCH.values(), ids=TOO_MUCH)
async def test_hd8_headers_are_bounded(world: World, bytes_read: list[int], request_: bytes) -> None:
    wire = await world.connect()
    receiving = asyncio.ensure_future(wire.rest())
    packets = [request_[start : start + 65536] for start in range(0, len(request_), 65536)]
    await wire.send(*packets)
    (answer,) = parse(await receiving)
    refused(answer, 431, "headers_too_large")
    assert answer.headers["connection"] == "close"
    assert 0 < sum(bytes_read) < 4_000_000
    await world.untouched()


async def test_hd8_a_hundred_headers_are_fine(world: World) -> None:
    assert (await world.keeping(get(USAGE, *(f"X-{number}: 1" for number in range(98))))).status == 200


CHUNKED = head("POST", f"{Q}/requests", "Transfer-Encoding: chunked")
FIRST_CHUNK = b"%x\r\n%s\r\n" % (len(draft()), draft())
TOO_MUCH_FRAMING = {
    "20000-trailers": CHUNKED + FIRST_CHUNK + b"0\r\n" + b"X-Trailer: 1\r\n" * 20_000 + b"\r\n",
    "extension": CHUNKED + b"5;" + b"x" * 1_000_000 + b"\r\n",
    "trailer": CHUNKED + FIRST_CHUNK + b"0\r\nX-Trailer: " + b"x" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_", TOO_MUCH_FRAMING.values(), ids=TOO_MUCH_FRAMING)
async def test_hd8_chunk_framing_is_bounded(world: World, request_: bytes) -> None:
    answer = await world.closing(request_)
    refused(answer, 431, "headers_too_large")
    await world.untouched()


@pytest.mark.parametrize(
    "lines",
    [
        [f"traceparent: 00-{'0' * 32}-b7ad6b7169203331-01"],
        [f"traceparent: 00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01"],
        ["traceparent: 00-0af7-b7ad-01"],
        [f"traceparent: {TRACEPARENT.upper()}"],
        [f"traceparent: {TRACEPARENT}", f"traceparent: {TRACEPARENT}"],
        ["traceparent: "],
    ],
    ids=["zero-trace", "zero-parent", "short", "upper-case", "twice", "empty"],
)
async def test_hd9_a_broken_trace_is_begun_anew(world: World, lines: list[str]) -> None:
    assert (await world.keeping(post(draft(), *lines, "tracestate: vendor=1"))).status == 200
    (create,) = world.upstream.creates
    parent = create.header("traceparent") or ""
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", parent)
    assert "0af7651916cd43dd" not in parent
    assert create.header("tracestate") is None


@pytest.mark.parametrize(
    ("state", "passed_on"), [("vendor=1", "vendor=1"), ("v=" + "x" * 10_000, None), ("v=\xff", None), ("v=\t", None)]
)
async def test_hd9_a_sound_trace_goes_on(world: World, state: str, passed_on: str | None) -> None:
    answer = await world.keeping(post(draft(), f"traceparent: {TRACEPARENT}", f"tracestate: {state}"))
    assert answer.status == 200
    (create,) = world.upstream.creates
    assert create.header("traceparent") == TRACEPARENT
    assert create.header("tracestate") == passed_on


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Request-Id: " + "x" * 10_000],
        ["X-Request-Id: \xc3\xa4"],
        ["X-Request-Id: a b"],
        ["X-Request-Id: a", "X-Request-Id: b"],
        ["X-Request-Id: %0d%0aevil"],
        ["X-Request-Id: "],
    ],
    ids=["10-kb", "unicode", "space", "two", "escaped", "empty"],
)
async def test_hd9_an_odd_request_id_is_replaced(
    open_world: OpenWorld, capsys: pytest.CaptureFixture[str], lines: list[str]
) -> None:
    world = await open_world(access_log="on")
    answer = await world.keeping(post(draft(), *lines))
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    (create,) = world.upstream.creates
    assert create.header("x-request-id") == answer.headers["x-request-id"]
    logged = await access_lines(world, capsys)
    assert len(logged) == 2
    assert logged[0]["request_id"] == answer.headers["x-request-id"]


async def test_hd9_a_plain_request_id_is_kept(world: World) -> None:
    answer = await world.keeping(post(draft(), "X-Request-ID: order-1_a.b"))
    assert answer.headers["x-request-id"] == "order-1_a.b"
    assert world.upstream.creates[0].header("x-request-id") == "order-1_a.b"


async def test_hd9_a_line_break_in_a_header_is_no_request(world: World) -> None:
    for evil in (b"a\rb", b"a\r\n b", b"a\nb: c"):
        request = get(USAGE).replace(b"\r\n\r\n", b"\r\nX-Request-Id: " + evil + b"\r\n\r\n")
        refused(await world.closing(request), 400, "invalid_request")
