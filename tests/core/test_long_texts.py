"""A body read without its long texts is read as the whole body is, whatever stands in it.

But for one thing: signs in a long text are not counted as values.
"""

import json
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import Refusal
from gateway.core.long_texts import LONG, Abridged, abridge
from gateway.core.wire import MOST_VALUES, parse_create, skim_create
from tests.core.payloads import payloads
from tests.quickly import quickly

read_text = msgspec.json.Decoder(str).decode
IMAGE = b"A" * LONG


def read(body: bytes, *, long: int = LONG) -> object:
    """What a create with this body is if it is skimmed, and read whole if that does not do."""
    with patch("gateway.core.wire.abridge", partial(abridge, long=long)):
        draft = skim_create(body, read_text)
    return read_whole(body) if draft is None else (draft, list(draft.payload.items()))


def read_whole(body: bytes) -> object:
    """What a create with this body is, or what it is told, by the strict reader alone."""
    try:
        draft = parse_create(body)
    except Refusal as refusal:
        return refusal.message
    return draft, list(draft.payload.items())


TOKENS = [b'"', b"\\", b'\\"', b"\\u0041", b"\\ud800", b"NaN", b"Na", b"aN", b"N", b"Infinity", b"-", b"1", b"null"]
TOKENS += [b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\xff", "é".encode()]
TOKENS += [b"abcd", b'"abcd"', b'"abcd":', b'"efgh"', b"\xed\xa0\x80", '"\u2028\U0001f600"'.encode()]


@given(st.lists(st.sampled_from(TOKENS), max_size=14), st.integers(0, 4))
@example([b'"', b"x", b'\\"', b"abcd", b'"'], 3)
@example([b'"x"', b"    ", b'"y"'], 3)
@example([b'{"abcd":1}'], 3)
def test_any_tokens_are_read_alike(tokens: list[bytes], long: int) -> None:
    body = b'{"model":"Veo3","payload":{"a":' + b"".join(tokens) + b"}}"
    assert read(body, long=long) == read_whole(body)


@given(payloads, st.booleans(), st.lists(st.tuples(st.integers(0, 400), st.sampled_from(TOKENS)), max_size=2))
def test_any_body_is_read_alike(payload: dict[str, Any], escaped: Any, splices: list[tuple[int, bytes]]) -> None:
    body = json.dumps({"model": "Veo3", "payload": payload}, ensure_ascii=escaped).encode()
    for at, token in splices:
        body = body[:at] + token + body[at:]
    for long in (0, 2, 8):
        assert read(body, long=long) == read_whole(body)


def create(payload: bytes) -> bytes:
    return b'{"model":"Veo3","payload":{' + payload + b"}}"


def test_long_texts_are_cut_out() -> None:
    body = create(b'"prompt":"a \\"b\\"\\n","image":"' + IMAGE + b'","more":["' + IMAGE + b'"]')
    rest = create(b'"prompt":"a \\"b\\"\\n","image":NaN,"more":[NaN]')
    assert abridge(body) == Abridged(rest, [memoryview(b'"' + IMAGE + b'"')] * 2)
    assert skim_create(body, read_text) == parse_create(body)


@pytest.mark.parametrize(
    "payload",
    [
        b'"image":"' + IMAGE[1:] + b'"',
        b'"image":"' + IMAGE + b'\\/"',
        b'"image":"' + IMAGE + b'","prompt":"NaN"',
        b'"image":"' + IMAGE,
    ],
    ids=["short", "escaped", "placeholder", "open"],
)
def test_what_is_not_surely_a_long_text_is_left_in(payload: bytes) -> None:
    body = b'{"model":"Veo3","payload":{' + payload
    assert abridge(body) is None
    assert abridge(b"") is None


@pytest.mark.parametrize(
    "payload",
    [
        b'"image":"' + IMAGE + b'\x01"',
        b'"image":"' + IMAGE + b'\xff"',
        b'"' + IMAGE + b'":1',
        b'"image":"' + IMAGE + b'","image":1',
        b'"image":"' + IMAGE + b'","n":Infinity',
        b'"image":"' + IMAGE + b'","a":' + b"[" * 65 + b"]" * 65,
        b'"image":"' + IMAGE + b'","a":"\\ud800"',
        b'"a":"b"' + b" " * LONG + b',"c":"d"',
        b'"a":"\\"' + IMAGE + b'"',
        b'"image":"' + IMAGE + b'","prompt":"' + b"many words " * 6_000 + b'\\n"',
    ],
)
def test_beside_a_long_text_everything_is_judged_as_ever(payload: bytes) -> None:
    body = create(payload)
    assert read(body) == read_whole(body)
    assert skim_create(body, read_text) is None


@pytest.mark.parametrize("sign", [b",", b"[", b"{"])
def test_a_long_text_is_one_value_whatever_stands_in_it(sign: bytes) -> None:
    text = IMAGE + sign * (MOST_VALUES + 1)
    draft = skim_create(create(b'"image":"' + text + b'"'), read_text)
    assert draft is not None
    assert draft.payload == {"image": text.decode()}
    beside = create(b'"image":"' + text + b'","more":[0' + b",0" * MOST_VALUES + b"]")
    assert skim_create(beside, read_text) is None
    assert read(beside) == f"The body holds more than {MOST_VALUES} values; send less at once."


@pytest.mark.parametrize("sign", [b'"', b"\\", b'\\"', b'" '])
def test_bo5_a_body_full_of_quotes_is_passed_at_once(sign: bytes) -> None:
    body = sign * (2_000_000 // len(sign)) + b'"' + b" " * LONG * 2
    quickly(lambda: abridge(body), within=0.05)
