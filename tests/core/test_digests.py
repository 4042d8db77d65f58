import json
from typing import Any

import pytest
from hypothesis import given

from gateway.core.digests import canonical_payload, digest_payload
from tests.core.payloads import payloads


def test_long_texts_stand_as_their_digests_in_the_canonical_form() -> None:
    image = "A" * 4_000_000
    assert len(canonical_payload({"image": image, "more": [image]})) < 200
    for other in (image + "A", image[1:] + "B", "B" + image[1:], image[:2_000_000] + "B" * 500 + image[2_000_500:]):
        assert canonical_payload({"image": image}) != canonical_payload({"image": other})
    almost_long = image[: 128 * 1024]
    for at in range(0, len(almost_long), 9973):
        assert digest_payload(almost_long) != digest_payload(almost_long[:at] + "B" + almost_long[at + 1 :])
    assert digest_payload({"image": image, "n": 8.0}) == digest_payload({"n": 8, "image": image})


def test_equal_payloads_have_one_canonical_form() -> None:
    assert canonical_payload({"b": 8.0, "a": [1.5, {"é": True}]}) == '{"a":[1.5,{"é":true}],"b":8}'.encode()
    assert canonical_payload({"a": [1.5, {"é": True}], "b": 8}) == canonical_payload(
        {"b": 8.0, "a": [1.5, {"é": True}]}
    )


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("12345678901234567890", "1.2345678901234567e+19"),
        ("9007199254740993", "9007199254740992"),  # 2**53 + 1
        ("-9007199254740993", "-9.007199254740992e15"),
        ("9007199254740991", "9.007199254740991e15"),
        ("1" + "0" * 400, "1" + "0" * 400),  # no double at all: nobody echoes it
    ],
)
def test_a_number_is_the_double_that_upstream_makes_of_it(sent: str, echoed: str) -> None:
    assert digest_payload({"seed": json.loads(sent)}) == digest_payload({"seed": json.loads(echoed)})


def test_numbers_that_a_double_tells_apart_stay_apart() -> None:
    exact = [{"seed": 2**53 - 1}, {"seed": 2**53}, {"seed": 2**53 + 2}, {"seed": True}, {"seed": 1.5}]
    assert len({digest_payload(each) for each in exact}) == len(exact)


def test_upstreams_odd_texts_have_a_canonical_form_too() -> None:
    assert canonical_payload({"a": "\ud800"}) == b'{"a":"\xed\xa0\x80"}'


@given(payloads)
def test_the_canonical_form_survives_a_round_trip(payload: dict[str, Any]) -> None:
    canonical = canonical_payload(payload)
    assert canonical_payload(json.loads(canonical)) == canonical


@given(payloads, payloads)
def test_different_payloads_have_different_forms(one: dict[str, Any], other: dict[str, Any]) -> None:
    if canonical_payload(one) == canonical_payload(other):
        assert _in_doubles(one) == _in_doubles(other)


def _in_doubles(payload: dict[str, Any]) -> Any:
    return json.loads(json.dumps(payload), parse_int=float)
