"""What a body can do: rows BO1 to BO8."""

import asyncio
import gzip
import hashlib
import json
import socket
import struct
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import Refusal
from gateway.core.wire import parse_create
from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind
from tests.conftest import team
from tests.fake_upstream import Q
from tests.faults.conftest import OpenWorld, World, refused
from tests.faults.wire import KEY_A, draft, head, parse, post
from tests.quickly import quickly
from tests.scripted_upstream import response

MIB = 1024**2

BROKEN = {
    "empty": b"",
    "open": b"{",
    "null": b"null",
    "array": b"[]",
    "text": b'"x"',
    "trailing": draft() + b"x",
    "two-values": draft() + draft(),
    "nan": b'{"model":"Veo3","payload":{"a":NaN}}',
    "infinity": b'{"model":"Veo3","payload":{"a":-Infinity}}',
    "1e999": b'{"model":"Veo3","payload":{"a":1e999}}',
    "5000-digits": b'{"model":"Veo3","payload":{"a":' + b"1" * 5000 + b"}}",
    "lone-surrogate": rb'{"model":"Veo3","payload":{"a":"\ud800"}}',
    "lone-surrogate-name": rb'{"model":"Veo3","payload":{"\udfff":1}}',
    "bad-utf-8": b'{"model":"Veo3","payload":{"a":"\xff"}}',
    "overlong-utf-8": b'{"model":"Veo3","payload":{"a":"\xc0\xaf"}}',
    "utf-16": draft().decode().encode("utf-16"),
    "utf-16-le": draft().decode().encode("utf-16-le"),
    "utf-32": draft().decode().encode("utf-32"),
    "bom": b"\xef\xbb\xbf" + draft(),
    "nul": draft() + b"\x00",
    "control": b'{"model":"Veo3","payload":{"a":"\n"}}',
    "single-quotes": b"{'model':'Veo3','payload':{}}",
    "comment": b'{"model":"Veo3","payload":{}/**/}',
    "trailing-comma": b'{"model":"Veo3","payload":{},}',
    "payload-text": b'{"model":"Veo3","payload":"{}"}',
    "payload-null": b'{"model":"Veo3","payload":null}',
    "payload-missing": b'{"model":"Veo3"}',
    "model-missing": b'{"payload":{}}',
}


@pytest.mark.parametrize("target", [f"{Q}/requests", "/gateway/v1/explain", f"{Q}/upload-url"])
async def test_bo1_what_is_not_json_is_not_sent_on(world: World, target: str) -> None:
    for body in BROKEN.values():
        refused(await world.keeping(post(body[:4000], target=target)), 400, "invalid_request")
    refused(await world.keeping(post(BROKEN["5000-digits"], target=f"{Q}/requests")), 400, "invalid_request")
    await world.untouched()
    assert world.upstream.received == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"Veo3","payload":{},"payload":{}}',
        b'{"model":"Veo3","payload":{"a":{"b":{"c":1,"c":1}}}}',
        rb'{"model":"Veo3","payload":{"a":[{"caf\u00e9":1,"caf' + "é".encode() + b'":1}]}}',
        rb'{"model":"Veo3","payload":{"":1,"":2}}',
    ],
    ids=["top", "nested", "escaped", "empty-name"],
)
async def test_bo2_a_name_stands_once(world: World, body: bytes) -> None:
    refused(await world.keeping(post(body)), 400, "invalid_request")
    await world.untouched()


NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(
    payload=st.dictionaries(TEXTS, VALUES, max_size=4),
    spaces=st.sampled_from([(",", ":"), (", ", ": "), ("\n,\t", " : ")]),
    escaped=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_bo3_upstream_gets_the_clients_bytes_or_nothing(
    world: World,
    payload: dict[str, Any],
    spaces: tuple[str, str],
    escaped: bool,  # noqa: FBT001 - drawn by name
) -> None:
    body = json.dumps({"payload": payload, "model": "Veo3"}, separators=spaces, ensure_ascii=escaped).encode()
    before = len(world.upstream.creates)
    answer = await world.ask(post(body))
    if answer.status == 200:
        assert [create.body for create in world.upstream.creates[before:]] == [body]
    else:
        refused(answer, 400, answer.json["code"])
        assert len(world.upstream.creates) == before
    held = len(world.upstream.creates)
    assert await world.books() == (held, held, 0)


BOMB = gzip.compress(bytes(50 * MIB))
ODD_TYPES = {
    "text": (draft(), ["Content-Type: text/plain"]),
    "form": (draft(), ["Content-Type: application/x-www-form-urlencoded"]),
    "multipart": (draft(), ["Content-Type: multipart/form-data; boundary=x"]),
    "utf-16": (draft().decode().encode("utf-16"), ["Content-Type: application/json;charset=utf-16"]),
    "two-types": (draft(), ["Content-Type: application/json", "Content-Type: text/plain"]),
    "joined-types": (draft(), ["Content-Type: application/json, text/plain"]),
    "gzip": (gzip.compress(draft()), ["Content-Type: application/json", "Content-Encoding: gzip"]),
    "gzip-second": (gzip.compress(draft()), ["Content-Encoding: identity", "Content-Encoding: gzip"]),
    "br": (draft(), ["Content-Encoding: br"]),
    "deflate": (draft(), ["Content-Encoding: DEFLATE"]),
    "bomb": (BOMB, ["Content-Encoding: gzip"]),
}


@pytest.mark.parametrize(("body", "lines"), ODD_TYPES.values(), ids=ODD_TYPES)
async def test_bo4_only_plain_json_is_read(world: World, body: bytes, lines: list[str]) -> None:
    refused(await world.ask(post(body, *lines)), 415, "unsupported_media_type")
    await world.untouched()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Content-Type: application/json"],
        ["Content-Type: Application/JSON; Charset=UTF-8"],
        ['Content-Type: application/json;charset="utf-8"'],
        ["Content-Encoding: identity"],
    ],
)
async def test_bo4_plain_json_may_say_so_in_many_ways(world: World, lines: list[str]) -> None:
    assert (await world.keeping(post(draft(), *lines))).status == 200
    (create,) = world.upstream.creates
    assert create.header("content-type") == "application/json"
    await world.created()


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return b'{"model":"Veo3","payload":{"a":' + opening * depth + b"1" + closing * depth + b"}}"


HEAVY = {
    "64-arrays": nested(b"[", b"]", 63),
    "1000-arrays": nested(b"[", b"]", 1000),
    "100000-arrays": nested(b"[", b"]", 100_000),
    "63-objects": nested(b'{"a":', b"}", 63),
    "1000-objects": nested(b'{"a":', b"}", 1000),
    "100000-objects": nested(b'{"a":', b"}", 100_000),
    "open-arrays": b"[" * 100_000,
    "100k-keys": json.dumps({"model": "Veo3", "payload": {str(key): 1 for key in range(100_000)}}).encode(),
    "1m-elements": json.dumps({"model": "Veo3", "payload": {"a": [0] * 1_000_000}}).encode(),
}


def refused_as_a_create(body: bytes) -> None:
    with pytest.raises(Refusal):
        parse_create(body)


@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY)
async def test_bo5_a_heavy_body_is_refused_at_once(world: World, body: bytes) -> None:
    refused(await world.ask(post(body)), 400, "invalid_request")
    await world.untouched()
    quickly(partial(refused_as_a_create, body), within=0.05)


async def test_bo5_64_levels_are_fine(world: World) -> None:
    assert (await world.keeping(post(nested(b"[", b"]", 62)))).status == 200


CHUNKED = head("POST", f"{Q}/requests", "Transfer-Encoding: chunked")
CHUNK = b"10000\r\n" + bytes(65536) + b"\r\n"
OVERSIZE = {
    "10-gb": [head("POST", f"{Q}/requests", "Content-Length: 10000000000"), *[bytes(65536)] * 300],
    "one-byte": [head("POST", f"{Q}/requests", f"Content-Length: {MIB + 1}"), *[bytes(65536)] * 16],
    "chunked": [CHUNKED, *[CHUNK] * 300],
    "no-number": [head("POST", f"{Q}/requests", "Content-Length: " + "9" * 19)],
}


@pytest.mark.parametrize("packets", OVERSIZE.values(), ids=OVERSIZE)
async def test_bo6_a_body_too_large_is_refused_unread(
    open_world: OpenWorld, bytes_read: list[int], packets: list[bytes]
) -> None:
    world = await open_world(max_body="1 MiB")
    wire = await world.connect()
    receiving = asyncio.ensure_future(wire.rest())
    await wire.send(*packets)
    (answer,) = parse(await receiving)
    refused(answer, 413, "body_too_large")
    assert answer.headers["connection"] == "close"
    assert 0 < sum(bytes_read) < 4_000_000
    await world.untouched()


async def test_bo6_a_large_body_arrives_whole(open_world: OpenWorld) -> None:
    world = await open_world(max_body="1 MiB")
    frame = len(draft(image=""))
    body = draft(image="data:image/png;base64," + "A" * (MIB - frame - 22))
    assert len(body) == MIB
    assert (await world.keeping(post(body))).status == 200
    (create,) = world.upstream.creates
    assert hashlib.sha256(create.body).digest() == hashlib.sha256(body).digest()
    await world.created()


@pytest.mark.parametrize("ending", ["fin", "rst", "silence", "drip"])
async def test_bo7_a_body_that_never_ends_is_given_up(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    hasty = ConnectionLimits(body_seconds=0.3, linger_seconds=0.1, sweep_seconds=0.05)
    monkeypatch.setattr("gateway.app.Bind", partial(Bind, limits=hasty))
    world = await open_world()
    before = open_sockets()
    wire = await world.connect()
    await wire.send(head("POST", f"{Q}/requests", "Content-Length: 100"), draft()[:50])
    await world.house.eventually(lambda: len(calls_under_way()) == 1)
    if ending == "fin":
        wire.writer.write_eof()
    elif ending == "rst":
        reset(wire.writer)
    elif ending == "drip":
        await wire.send(*[b"x"] * 20, pause=0.05)
    answers = parse(await wire.rest())
    assert len(answers) == (1 if ending == "silence" else 0)
    for answer in answers:
        refused(answer, 408, "request_timeout")
        assert answer.headers["connection"] == "close"
    wire.writer.transport.abort()
    await world.house.eventually(lambda: calls_under_way() == [] and open_sockets() == before)
    await world.untouched()


def calls_under_way() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if "Exchange.run at" in repr(task.get_coro())]


def open_sockets() -> int:
    """Of this process, which holds both ends of every connection."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was the one that lists them
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


PRICES = "prices: [{models: [Veo3], usd: 0.4, per: second, seconds: durationSeconds, default_seconds: 8}]\n"


NO_SECONDS: tuple[Any, ...] = ("8s", "", "010", "8,5", "\u0668", "1e3", True, [8], {}, -1, 0, "0", 1e300)


@pytest.mark.parametrize(
    ("payload", "price"),
    [
        ({"durationSeconds": 8}, 3_200_000),
        ({"durationSeconds": "8"}, 3_200_000),
        ({"durationSeconds": 8.0}, 3_200_000),
        ({"durationSeconds": 5.5}, 2_200_000),
        ({"durationSeconds": 0.5}, 400_000),
        ({"durationSeconds": 1e-300}, 400_000),
        ({"durationSeconds": None}, 3_200_000),
        ({}, 3_200_000),
    ],
)
async def test_bo8_a_priced_field_is_priced_exactly(open_world: OpenWorld, payload: dict[str, Any], price: int) -> None:
    world = await open_world(files={"gateway.yaml": PRICES})
    assert (await world.keeping(post(draft(**payload)))).status == 200
    assert (await world.used())["USD"] == price
    await world.created()


@pytest.mark.parametrize(
    "payloads",
    [
        [{"durationSeconds": value} for value in NO_SECONDS],
        [{name: 8} for name in ("durationseconds", "DurationSeconds", "duration_seconds")],
    ],
    ids=["values", "names"],
)
async def test_bo8_what_cannot_be_priced_is_refused(open_world: OpenWorld, payloads: list[dict[str, Any]]) -> None:
    world = await open_world(files={"gateway.yaml": PRICES})
    for payload in payloads:
        answer = await world.keeping(post(draft(**payload)))
        refused(answer, 400, "payload_rejected")
        assert answer.json["parameter"] in payload
    assert (await world.used())["USD"] == 0
    await world.untouched()


VEO3 = {
    "parameters": [{"name": "durationSeconds", "type": "enum", "default_value": "8", "options": ["4", "6", "8"]}],
    "price_info": {"price": 400_000, "unit": "second"},
}
MADE_UP: tuple[dict[str, Any], ...] = (
    {"seconds": 0.000001},
    {"duration": 1e-9},
    {"duration_seconds": "0.1"},
    {"durationSeconds": 1e-300},
    {"durationSeconds": 1},
    {"durationSeconds": 8, "seconds": 1},
)


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [("1 USD per day", 402, "budget_exceeded"), ("5 seconds per day", 429, "quota_exceeded")],
)
async def test_bo8_a_length_the_model_does_not_take_buys_nothing(
    open_world: OpenWorld, limit: str, status: int, code: str
) -> None:
    world = await open_world(files={"a.yaml": team("a", KEY_A, f"limits: [{limit}]\n")})
    world.upstream.details["Veo3"] = VEO3
    for payload in MADE_UP:
        refused(await world.keeping(post(draft(**payload))), 400, "payload_rejected")
    refused(await world.keeping(post(draft())), status, code)
    assert world.upstream.creates == []


async def test_bo8_seconds_are_not_free_while_the_models_detail_cannot_be_had(open_world: OpenWorld) -> None:
    world = await open_world(files={"a.yaml": team("a", KEY_A, "limits: [10 seconds per day]\n")})
    world.upstream.answers["GET", f"{Q}/models/Veo3"] = response(b"{}", "500 Internal Server Error")
    answer = await world.keeping(post(draft()))
    refused(answer, 400, "payload_rejected")
    assert answer.json["parameter"] == "durationSeconds"
    assert (await world.keeping(post(draft(durationSeconds=8)))).status == 200
    refused(await world.keeping(post(draft(durationSeconds=8))), 429, "quota_exceeded")
