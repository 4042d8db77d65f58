"""What is refused of JSON, in its own words, and how soon. How it stands in a create: test_wire.py."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.strict_json import LONGEST_NAME, MOST_VALUES, read_json, shown, skim_json
from tests.quickly import quickly


def refused(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        read_json(body)
    assert (caught.value.code, caught.value.status) == (Code.INVALID_REQUEST, 400)
    return caught.value.message


def refused_at_once(body: bytes) -> str:
    """Why the body is refused, within 50 ms."""
    return quickly(lambda: refused(body), within=0.05)


def nested(depth: int, opening: bytes, closing: bytes, inner: bytes) -> bytes:
    """A body whose arrays and objects stand `depth` deep, with `inner` in the innermost."""
    return b'{"a":' + opening * (depth - 1) + inner + closing * (depth - 1) + b"}"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"b":', b"}")])
def test_bo5_depth_64_is_the_last_that_passes(opening: bytes, closing: bytes) -> None:
    assert "a" in read_json(nested(64, opening, closing, b"1"))
    message = "Arrays and objects stand in one another more than 64 levels deep."
    assert refused(nested(65, opening, closing, b"1")) == message
    assert refused(nested(64, opening, closing, b"[]")) == message
    assert refused(nested(1000, opening, closing, b"1")) == message
    assert refused(nested(15_000, opening, closing, b"1")) == message


def test_many_shallow_objects_are_not_deep() -> None:
    value = {"items": [{"a": [1]}] * 100}
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b"1," * 1_000_000 + b"1]}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b'{"b":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        json.dumps({str(number): number for number in range(100_000)}).encode(),
        json.dumps({str(number): number for number in range(MOST_VALUES)} | {"last": [{}]}).encode()[:-4] + b"}}]}",
        json.dumps({"a": [[]] * MOST_VALUES}).encode(),
    ],
    ids=["array", "depth", "object-depth", "keys", "limit-and-broken", "brackets"],
)
def test_bo5_huge_structures_are_refused_at_once(body: bytes) -> None:
    refused_at_once(body)


def test_bo5_a_repeated_name_among_very_many_is_found_at_once() -> None:
    body = json.dumps({str(number): 0 for number in range(MOST_VALUES)}).encode()
    assert refused_at_once(body[:-1] + b',"0":1}') == "`0` stands twice in one object."


def test_bo1_thousands_of_long_numbers_are_refused_at_once() -> None:
    refused_at_once(b'{"a":[' + b",".join([b"9" * 4300] * 5_000) + b"]}")


@pytest.mark.parametrize("body", ['{"%s":1}', '{"a":[{"%s":1}]}'])
def test_bo5_a_name_has_an_end(body: str) -> None:
    name = "ß" * LONGEST_NAME
    assert read_json((body % name).encode())
    message = f"`{'ß' * 64}…` is a name of more than 1024 characters; shorten it."
    assert refused((body % (name + "ß")).encode()) == message


def test_bo6_a_large_text_is_no_large_structure() -> None:
    value = {"image": "data:image/png;base64," + "A" * 4_000_000}
    assert read_json(json.dumps(value).encode()) == value


PAIRS = {
    rb'{"a":"\ud83d\ude00"}': {"a": "\U0001f600"},
    rb'{"\uD83D\uDE00":[{"b":["\ud55c\u0041 \u00e9"]}]}': {"\U0001f600": [{"b": ["\ud55cA \xe9"]}]},
}


@pytest.mark.parametrize(("body", "value"), PAIRS.items())
def test_surrogate_pairs_are_text(body: bytes, value: object) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDFFF", rb"\ud800\u0041", rb"\ude00\ud83d", rb"\ud83dA\ude00"])
@pytest.mark.parametrize("body", [b'"%s"', b'["%s"]', b'{"%s":1}', b'{"a":[1,{"b":"\xc3\xa9"},{"c":["x","%s"]}]}'])
def test_bo1_half_of_a_pair_is_no_text_wherever_it_stands(body: bytes, half: bytes) -> None:
    message = r"The body holds half of a surrogate pair (`\ud800` to `\udfff`), which is no text."
    assert refused(body % half) == message


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_text_is_read_however_it_is_escaped(value: Any) -> None:
    for escaped in (True, False):
        assert read_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize("body", [b'{"a":1}', b'"' + b"A" * 70_000 + b'", "b"', b'["' + b"A" * 70_000 + b'\\n"]'])
def test_what_cannot_be_skimmed_is_refused_to_be_read_whole(body: bytes) -> None:
    with pytest.raises(Refusal):
        skim_json(body)
    assert skim_json(b'["' + b"A" * 70_000 + b'"]') == ["A" * 70_000]


@pytest.mark.parametrize(
    ("name", "text"),
    [("durationSeconds", "durationSeconds"), ("a\r\nb", "a??b"), ("x" * 65, "x" * 64 + "…"), ("x" * 64, "x" * 64)],
)
def test_names_are_shown_short_and_on_one_line(name: str, text: str) -> None:
    assert shown(name) == text
