"""A body read without its long texts is read as the whole body is, whatever stands in it.

But for two things: signs in a long text are not counted as values, and control characters in it are left alone.
"""

import json
from copy import copy
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core import strict_json
from gateway.core.digests import digest_payload
from gateway.core.errors import Refusal
from gateway.core.long_texts import LONG, Abridged, LongText, abridge
from gateway.core.payload import same_value
from gateway.core.strict_json import MOST_VALUES
from gateway.core.wire import parse_create, skim_create
from tests.core.payloads import payloads
from tests.quickly import quickly

IMAGE = b"A" * LONG


def read(body: bytes, *, long: int = LONG) -> object:
    """What a create with this body is if it is skimmed, and read whole if that does not do."""
    with patch("gateway.core.strict_json.abridge", partial(abridge, long=long)):
        draft = skim_create(body)
    return read_whole(body) if draft is None else (draft, list(draft.payload.items()))


def read_whole(body: bytes) -> object:
    """What a create with this body is, or what it is told, by the strict reader alone."""
    try:
        draft = parse_create(body)
    except Refusal as refusal:
        return refusal.message
    return draft, list(draft.payload.items())


def read_with_control_characters(body: bytes) -> object:
    """The same by a reader that puts up with them in texts."""
    lenient = copy(strict_json._DECODER)
    lenient.strict = False
    lenient.scan_once = json.scanner.make_scanner(lenient)  # type: ignore[attr-defined]  # it kept what strict was
    with patch("gateway.core.strict_json._DECODER", lenient):
        return read_whole(body)


def check_read_alike(body: bytes, *, long: int) -> None:
    found, expected = read(body, long=long), read_whole(body)
    if found != expected:
        assert "Invalid control character" in str(expected)
        assert found == read_with_control_characters(body)


TOKENS = [b'"', b"\\", b'\\"', b"\\u0041", b"\\ud800", b"NaN", b"Na", b"aN", b"N", b"Infinity", b"-", b"1", b"null"]
TOKENS += [b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\xff", "é".encode()]
TOKENS += [
    b"abcdefghi",
    b'"abcdefghi"',
    b'"abcdefghi":',
    b'"jklmnopqr"',
    b"\xed\xa0\x80",
    b'"' + "\u2028".encode() * 4 + b'"',
]

SHORT = 8
"""Bytes of a text that may count as long here: no fewer, because `payload` may not."""


@given(st.lists(st.sampled_from(TOKENS), max_size=14), st.integers(SHORT, SHORT + 12))
@example([b'"', b"x", b'\\"', b"abcdefghi", b'"'], SHORT)
@example([b'"x"', b" " * 9, b'"y"'], SHORT)
@example([b'{"abcdefghi":1}'], SHORT)
@example([b'"', b"abcdefghi", b"\n", b'"'], SHORT)
def test_any_tokens_are_read_alike(tokens: list[bytes], long: int) -> None:
    check_read_alike(b'{"model":"Veo3","payload":{"a":' + b"".join(tokens) + b"}}", long=long)


@given(payloads, st.booleans(), st.lists(st.tuples(st.integers(0, 400), st.sampled_from(TOKENS)), max_size=2))
def test_any_body_is_read_alike(payload: dict[str, Any], escaped: Any, splices: list[tuple[int, bytes]]) -> None:
    body = json.dumps({"model": "Veo3", "payload": payload}, ensure_ascii=escaped).encode()
    for at, token in splices:
        body = body[:at] + token + body[at:]
    for long in (SHORT, SHORT + 4):
        check_read_alike(body, long=long)


def create(payload: bytes) -> bytes:
    return b'{"model":"Veo3","payload":{' + payload + b"}}"


def test_long_texts_are_cut_out() -> None:
    body = create(b'"prompt":"a \\"b\\"\\n","image":"' + IMAGE + b'","more":["' + IMAGE + b'"]')
    rest = create(b'"prompt":"a \\"b\\"\\n","image":NaN,"more":[NaN]')
    assert abridge(body) == Abridged(rest, [memoryview(IMAGE)] * 2, is_ascii=True)
    assert skim_create(body) == parse_create(body)
    accented = body.replace(b"prompt", "prômpt".encode())
    abridged = abridge(accented)
    assert abridged is not None
    assert (abridged.texts, abridged.is_ascii) == ([memoryview(IMAGE)] * 2, False)
    assert skim_create(accented) == parse_create(accented)


@pytest.mark.parametrize("size", [LONG, 100_000, 128 * 1024, 128 * 1024 + 1, 4_000_001])
def test_a_text_that_was_left_in_its_body_is_the_same_text(size: int) -> None:
    text = "".join(chr(ord("A") + number * number % 53) for number in range(size))
    left, other = LongText(memoryview(text.encode())), LongText(memoryview(b"B" + text[1:].encode()))
    assert (len(left), str(left), left[-5:], left[::7]) == (size, text, text[-5:], text[::7])
    assert [left == text, text == left, left == other, other == text, left == 1] == [True, True, False, False, False]
    assert hash(left) == hash(text)
    assert digest_payload({"image": [left]}) == digest_payload({"image": [text]}) != digest_payload({"image": [other]})


def test_a_parameter_that_is_asked_for_is_a_text() -> None:
    draft = skim_create(create(b'"image":"' + IMAGE + b'","more":["' + IMAGE + b'"]'))
    assert draft is not None
    kinds = [type(draft.payload["image"]), type(draft.payload.get("image")), type(draft.payload["image"])]
    assert kinds == [LongText, str, str]
    assert same_value(draft.payload.get("more"), [IMAGE.decode()])
    assert draft.payload.get("none", 1) == 1
    assert [draft.payload.gives(name) for name in ("more", "none")] == [True, False]


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
        b'"image":"' + IMAGE + b'","prompt":"\x01"',
        b'"image":"' + IMAGE + b'\xff"',
        b'"image":"' + IMAGE + b'\xc0\xa2"',
        b'"image":"' + IMAGE + b'\xed\xa0\x80"',
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
    assert skim_create(body) is None


@pytest.mark.parametrize("sign", [b",", b"[", b"{"])
def test_a_long_text_is_one_value_whatever_stands_in_it(sign: bytes) -> None:
    text = IMAGE + sign * (MOST_VALUES + 1)
    draft = skim_create(create(b'"image":"' + text + b'"'))
    assert draft is not None
    assert draft.payload == {"image": text.decode()}
    beside = create(b'"image":"' + text + b'","more":[0' + b",0" * MOST_VALUES + b"]")
    assert skim_create(beside) is None
    assert read(beside) == f"The body holds more than {MOST_VALUES} values; send less at once."


@pytest.mark.parametrize("sign", [b"\n", b"\x00", b"\x1f"])
def test_control_characters_in_a_long_text_are_upstreams_to_refuse(sign: bytes) -> None:
    text = IMAGE + sign + IMAGE
    draft = skim_create(create(b'"image":"' + text + b'"'))
    assert draft is not None
    assert draft.payload == {"image": text.decode()}
    assert skim_create(create(b'"image":"' + text + b'",' + sign + b'"n":"' + sign + b'"')) is None


@pytest.mark.parametrize("sign", [b'"', b"\\", b'\\"', b'" '])
def test_bo5_a_body_full_of_quotes_is_passed_at_once(sign: bytes) -> None:
    body = sign * (2_000_000 // len(sign)) + b'"' + b" " * LONG * 2
    quickly(lambda: abridge(body), within=0.05)
