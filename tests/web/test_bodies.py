"""A body is read whole, within its size, and only as plain JSON."""

import asyncio
import hashlib
import json
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.budget import LEAST_BODIES
from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.core.long_texts import LONG
from gateway.core.wire import Draft, parse_create
from gateway.web.bodies import (
    LARGEST_DIGESTED_AT_ONCE,
    LARGEST_PARSED_AT_ONCE,
    LARGEST_SKIMMED_AT_ONCE,
    digest_body,
    read_draft,
    read_json_body,
)
from gateway.web.call import Call
from tests.web.conftest import call_with


def part(body: bytes, *, more: bool = False) -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_arrives_in_one_piece_or_many() -> None:
    assert await read_json_body(call_with(messages=(part(b"{}"),)), 2) == b"{}"
    pieces = (part(b'{"a"', more=True), part(b"", more=True), part(b":1}"))
    assert await read_json_body(call_with(messages=pieces), 7) == b'{"a":1}'


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"Application/JSON; charset=UTF-8",
        b'application/json;charset="utf-8"',
        b"application/json;",
        b"application/vnd.api+json",
    ],
)
async def test_json_has_many_names(value: bytes) -> None:
    assert await read_json_body(call_with((b"content-type", value), messages=(part(b"{}"),)), 9) == b"{}"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"")],
        [(b"content-type", b"application/json; charset=utf-16")],
        [(b"content-type", b"application/json, text/plain")],
        [(b"content-type", b"application/jsonp")],
        [(b"content-type", b"application/json"), (b"content-type", b"application/json")],
        [(b"content-encoding", b"gzip")],
        [(b"content-encoding", b"identity, gzip")],
        [(b"content-encoding", b"identity"), (b"content-encoding", b"br")],
    ],
)
async def test_what_is_no_plain_json_is_not_read(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call_with(*headers), 9)
    assert refusal.value.code is Code.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("length", [b"10", b"10000000000", b"9" * 19, b"-1", b"1e3", b""])
async def test_a_length_that_is_too_large_or_none_is_refused_unread(length: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call_with((b"content-length", length)), 9)
    assert (refusal.value.code, refusal.value.close) == (Code.BODY_TOO_LARGE, True)
    assert "9 bytes" in refusal.value.message


async def test_a_body_that_does_not_say_its_length_is_counted() -> None:
    pieces = (part(bytes(5), more=True), part(bytes(5), more=True))
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call_with(messages=pieces), 9)
    assert (refusal.value.code, refusal.value.close) == (Code.BODY_TOO_LARGE, True)


async def test_a_body_is_held_by_its_call_as_it_grows() -> None:
    call = call_with(messages=(part(b"{", more=True), part(b"}")))
    assert await read_json_body(call, 9) == b"{}"
    assert call.held == 2


async def test_rs5_a_body_for_which_there_is_no_room_is_not_read_on() -> None:
    call = call_with(messages=(part(b"{", more=True), part(b"{", more=True)))
    call.room.hold("another", LEAST_BODIES - 1)
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call, 9)
    assert (refusal.value.code, refusal.value.close) == (Code.OVERLOADED, True)


class Rest:
    """What is left of a large body, for those who ask for all of it."""

    def __init__(self, body: bytes, *, breaks_off: bool = False) -> None:
        self._left = body
        self._breaks_off = breaks_off
        self.asked = False

    def part(self, size: int) -> MutableMapping[str, Any]:
        """The next part of so many bytes."""
        begun, self._left = self._left[:size], self._left[size:]
        return {"type": "http.request", "body": begun, "more_body": True, "receive_rest": self._receive}

    async def _receive(self, rest: memoryview) -> bool:
        self.asked = True
        rest[:] = self._left
        return not self._breaks_off


def call_of(size: int, *messages: MutableMapping[str, Any]) -> Call:
    return call_with((b"content-length", b"%d" % size), messages=messages)


async def test_bo6_a_large_body_that_has_begun_is_read_into_one_place_which_its_call_holds() -> None:
    body = b"[%b]" % (b"1" * 10_000)
    rest = Rest(body)
    call = call_of(len(body), rest.part(len(body) // 32), rest.part(1))
    assert await read_json_body(call, len(body)) == body
    assert rest.asked
    assert call.held == len(body)


async def test_bo7_a_body_that_is_only_promised_takes_up_nothing() -> None:
    rest = Rest(bytes(10_000))
    call = call_of(10_000, rest.part(100), rest.part(100), {"type": "http.disconnect"})
    with pytest.raises(Refusal):
        await read_json_body(call, 10_000)
    assert call.held == 200
    assert not rest.asked


async def test_bo7_a_rest_that_breaks_off_makes_no_body() -> None:
    rest = Rest(bytes(100), breaks_off=True)
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call_of(100, rest.part(50)), 100)
    assert (refusal.value.code, refusal.value.close) == (Code.REQUEST_TIMEOUT, True)


async def test_rs5_a_rest_for_which_there_is_no_room_is_not_asked_for() -> None:
    rest = Rest(bytes(100))
    call = call_of(100, rest.part(50))
    call.room.hold("another", LEAST_BODIES - 99)
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call, 100)
    assert (refusal.value.code, refusal.value.close) == (Code.OVERLOADED, True)
    assert not rest.asked


async def test_a_body_that_does_not_say_its_length_is_read_part_by_part() -> None:
    rest = Rest(b"[1,2]")
    call = call_with(messages=(rest.part(4), part(b"]")))
    assert await read_json_body(call, 9) == b"[1,2]"


async def test_a_body_that_breaks_off_is_no_body() -> None:
    pieces = (part(b"{", more=True), {"type": "http.disconnect"})
    with pytest.raises(Refusal) as refusal:
        await read_json_body(call_with(messages=pieces), 9)
    assert refusal.value.code is Code.REQUEST_TIMEOUT


def reading(body: bytes) -> asyncio.Future[Draft]:
    """The draft in this body, being read by a gateway that takes 16 megabytes."""
    gw = cast("Gateway", SimpleNamespace(settings=SimpleNamespace(max_body=16 * 1024**2)))
    call = call_with(messages=(part(body),))
    call.gw = gw
    return asyncio.ensure_future(read_draft(call))


START = b'{"model":"Veo3","payload":{"image":"'


def with_image(size: int, escape: bytes = b"") -> bytes:
    """A body of so many bytes, all of it one text but for its ends."""
    return START + escape + b"a" * (size - len(START) - len(escape) - 3) + b'"}}'


def with_names(count: int) -> bytes:
    """A body of so many parameters, each of a few bytes."""
    parameters = {f"{number:x}": 1 for number in range(count)}
    return json.dumps({"model": "Veo3", "payload": parameters}, separators=(",", ":")).encode()


async def is_read_at_once(body: bytes) -> bool:
    """Whether the loop reads this body itself. Either way it is read well."""
    reader = reading(body)
    await asyncio.sleep(0)
    at_once = reader.done()
    assert await reader == parse_create(body)
    return at_once


async def test_bo6_what_takes_long_to_parse_is_parsed_beside_the_loop() -> None:
    escape = rb"\/"
    assert await is_read_at_once(with_image(LARGEST_PARSED_AT_ONCE, escape))
    assert not await is_read_at_once(with_image(LARGEST_PARSED_AT_ONCE + 1, escape))
    assert not await is_read_at_once(with_names(20_000)), "names are what takes long"
    assert await is_read_at_once(with_image(LARGEST_SKIMMED_AT_ONCE))
    assert not await is_read_at_once(with_image(LARGEST_SKIMMED_AT_ONCE + 1))


@pytest.mark.parametrize("size", [LONG, LONG + 1, 2 * LONG, 5 * LONG])
async def test_a_long_text_is_one_value_in_a_body_of_any_size(size: int) -> None:
    words = "a," * (size // 2 + 1)
    draft = await reading(json.dumps({"model": "Veo3", "payload": {"prompt": words}}).encode())
    assert draft.payload == {"prompt": words}


async def test_bo1_a_long_body_that_is_no_json_is_refused_alike() -> None:
    with pytest.raises(Refusal) as refusal:
        await reading(b"[" + b" " * LARGEST_PARSED_AT_ONCE)
    assert refusal.value.code is Code.INVALID_REQUEST


@pytest.mark.parametrize("size", [0, LARGEST_DIGESTED_AT_ONCE, LARGEST_DIGESTED_AT_ONCE + 1])
async def test_id2_every_byte_of_a_body_counts(size: int) -> None:
    assert await digest_body(b"a" * size) == hashlib.sha256(b"a" * size).digest()
