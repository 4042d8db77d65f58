from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.detail import ModelDetail, Parameter
from gateway.core.errors import Code, Refusal
from gateway.core.payload import (
    check_declared,
    check_required,
    check_rule,
    check_spelling,
    number_of,
    rejected,
    rules_for,
    same_value,
)
from gateway.core.policy import ParameterRule, PayloadRule, Team
from gateway.core.wire import Payload


def refused(payload: dict[str, Any], rule: ParameterRule) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_rule(payload, rule)
    assert caught.value.code is Code.PAYLOAD_REJECTED
    return caught.value


def passes(payload: dict[str, Any], rule: ParameterRule) -> bool:
    try:
        check_rule(payload, rule)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (8, Fraction(8)),
        (8.0, Fraction(8)),
        ("8", Fraction(8)),
        ("8.0", Fraction(8)),
        (0.1, Fraction(1, 10)),
        ("-0.5", Fraction(-1, 2)),
        (1e300, Fraction(10**300)),
        (10**40, Fraction(10**40)),
        (0, Fraction(0)),
    ],
)
def test_bo8_numbers_are_read_exactly(value: Any, number: Fraction) -> None:
    assert number_of(value) == number


@pytest.mark.parametrize(
    "value",
    [
        *("8s", "", " 8", "8 ", "+8", "08", "8.", ".5", "1e3", "0x8", "1_000", "\uff18", "NaN", "9" * 41),
        *(True, False, None, [8], {"a": 8}, float("nan"), float("inf")),
    ],
)
def test_bo8_nothing_else_is_a_number(value: Any) -> None:
    assert number_of(value) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("8", 8, True),
        (8.0, "8", True),
        (8, 8.5, False),
        (1, True, False),
        (True, True, True),
        ("720p", "720p", True),
        ("720P", "720p", False),
        (None, None, True),
        (None, "null", False),
        ("true", True, False),
        ([8], 8, False),
    ],
)
def test_values_are_the_same_by_what_they_mean(one: Any, other: Any, *, same: bool) -> None:
    assert same_value(one, other) is same
    assert same_value(other, one) is same


DURATION = ParameterRule("durationSeconds", minimum=4, maximum=8)


@pytest.mark.parametrize("value", [4, 8, "8", 8.0, 5.5, None])
def test_a_number_in_range_passes(value: Any) -> None:
    assert passes({"durationSeconds": value}, DURATION)


@pytest.mark.parametrize(
    ("value", "rule", "message"),
    [
        (9, "max", "`durationSeconds` must be a number of at most 8."),
        ("9", "max", "`durationSeconds` must be a number of at most 8."),
        (8.0000001, "max", "`durationSeconds` must be a number of at most 8."),
        (3, "min", "`durationSeconds` must be a number of at least 4."),
        (-1, "min", "`durationSeconds` must be a number of at least 4."),
        (True, "min", "`durationSeconds` must be a number of at least 4."),
        ("8s", "min", "`durationSeconds` must be a number of at least 4."),
    ],
)
def test_bo8_a_number_out_of_range_is_refused_with_its_value(value: Any, rule: str, message: str) -> None:
    refusal = refused({"durationSeconds": value}, DURATION)
    assert refusal.message == message
    assert refusal.siblings == {"parameter": "durationSeconds", "rule": rule, "value": value}


def test_a_value_that_is_no_plain_word_or_number_is_not_shown() -> None:
    rule = ParameterRule("size", maximum=8)
    for value in ([8], {"a": 1}, "a prompt, of several words", "x" * 65, 10**40):
        assert refused({"size": value}, rule).siblings == {"parameter": "size", "rule": "max"}


def test_a_bound_with_a_fraction_is_exact() -> None:
    rule = ParameterRule("scale", maximum=0.1)
    assert passes({"scale": "0.1"}, rule)
    assert not passes({"scale": "0.1000000000000000055"}, rule)


def test_one_of_names_what_is_allowed() -> None:
    rule = ParameterRule("personGeneration", one_of=("allow_adult", 8, None, True))
    assert passes({"personGeneration": "8"}, rule)
    assert passes({}, rule)
    refusal = refused({"personGeneration": "Allow_adult"}, rule)
    assert refusal.message == "`personGeneration` must be one of allow_adult, 8, null, true."
    assert refusal.siblings == {"parameter": "personGeneration", "rule": "one_of", "value": "Allow_adult"}


def test_a_forbidden_parameter_is_refused_unless_it_is_null() -> None:
    rule = ParameterRule("negativePrompt", forbidden=True)
    assert passes({"negativePrompt": None}, rule)
    for value in ("", 0, False, "secret prompt"):
        refusal = refused({"negativePrompt": value}, rule)
        assert refusal.message == "`negativePrompt` is forbidden by your team's policy; leave it out."
        assert refusal.siblings == {"parameter": "negativePrompt", "rule": "forbidden"}


def test_a_required_parameter_must_be_there_and_not_null() -> None:
    rule = ParameterRule("prompt", required=True)
    assert passes({"prompt": ""}, rule)
    assert passes({"prompt": False}, rule)
    for payload in ({}, {"prompt": None}):
        assert refused(payload, rule).message == "`prompt` is required by your team's policy."


def test_length_is_of_texts_in_characters_and_of_arrays_in_items() -> None:
    rule = ParameterRule("prompt", min_length=2, max_length=3)
    for fitting in ("ab", "\U0001f600\U0001f600\U0001f600", ["a", "b"]):
        assert passes({"prompt": fitting}, rule)
    assert refused({"prompt": "abcd"}, rule).message == "`prompt` must be text of at most 3 characters."
    assert refused({"prompt": ["a"] * 4}, rule).message == "`prompt` must be a list of at most 3 items."
    too_short: list[Any] = ["a", [], 7, {"a": 1}]
    for value in too_short:
        refusal = refused({"prompt": value}, rule)
        wanted = "a list of at least 2 items" if isinstance(value, list) else "text of at least 2 characters"
        assert refusal.message == f"`prompt` must be {wanted}."
        assert refusal.siblings == {"parameter": "prompt", "rule": "min_length"}


def test_each_bound_stands_alone() -> None:
    assert passes({"a": "x"}, ParameterRule("a", min_length=1))
    assert refused({"a": 7}, ParameterRule("a", max_length=1)).siblings["rule"] == "max_length"
    assert passes({"a": 7}, ParameterRule("a", minimum=1))
    assert passes({"a": [7]}, ParameterRule("a"))


@pytest.mark.parametrize(
    "name", ["durationseconds", "DurationSeconds", "duration_seconds", "DURATION-SECONDS", "duration\u017feconds"]
)
def test_az5_a_ruled_name_in_another_spelling_is_refused(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_spelling(Payload({name: 60}), ["durationSeconds"])
    assert caught.value.code is Code.PAYLOAD_REJECTED
    assert caught.value.message == f"`{name}` must be written `durationSeconds`."
    assert caught.value.siblings == {"parameter": name, "rule": "spelling"}


def test_names_that_are_each_ruled_are_no_misspellings_of_one_another() -> None:
    payload = Payload({"durationSeconds": 1, "duration_seconds": 1, "person_image.24": 1})
    check_spelling(payload, ["duration_seconds", "durationSeconds"])


def test_rules_are_those_of_every_matching_entry() -> None:
    first, second = ParameterRule("a", required=True), ParameterRule("b", required=True)
    team = Team(
        "t", payload=(PayloadRule(("Veo3*",), (first,)), PayloadRule(("Kling",), ()), PayloadRule(("*",), (second,)))
    )
    assert rules_for(team, "Veo3-Fast") == (first, second)
    assert rules_for(team, "seedance") == (second,)


DETAIL = ModelDetail(
    "Veo3",
    (Parameter("prompt", "string", True), Parameter("ratio", "enum", True, "16:9"), Parameter("seed", "integer")),
)


def test_what_the_model_requires_must_be_there_unless_it_has_a_default() -> None:
    check_required(Payload({"prompt": "a", "seed": None}), DETAIL)
    for payload in ({}, {"prompt": None, "ratio": "1:1"}):
        with pytest.raises(Refusal) as caught:
            check_required(Payload(payload), DETAIL)
        assert caught.value.message == "`prompt` is missing: the model requires it."
        assert caught.value.siblings == {"parameter": "prompt", "rule": "required"}


def test_what_the_model_declares_of_a_parameter_holds() -> None:
    check_declared(7, Parameter("n", "integer"))
    check_declared("4", Parameter("n", "enum", options=(4, 8)))
    check_declared(0, Parameter("n", "integer", minimum=0, maximum=0))
    for value, parameter, rule in (
        (5, Parameter("n", "enum", options=("4", "8")), "one_of"),
        (-1, Parameter("n", "integer", minimum=0), "min"),
        (1, Parameter("n", "integer", maximum=0), "max"),
    ):
        with pytest.raises(Refusal) as caught:
            check_declared(value, parameter)
        assert caught.value.siblings == {"parameter": "n", "rule": rule, "value": value}


def test_a_model_nobody_described_requires_nothing() -> None:
    check_required(Payload({}), None)


def test_a_rejection_shows_its_parameter_on_one_line() -> None:
    assert rejected("a\nb", "max", "no", False).siblings == {"parameter": "a?b", "rule": "max", "value": False}


numbers = st.integers(-20, 20) | st.floats(-20, 20) | st.integers(-20, 20).map(str)


@given(numbers, st.integers(-20, 20), st.integers(-20, 20), st.integers(-20, 20))
def test_monotone_a_narrower_rule_never_admits_what_a_wider_one_refused(
    value: Any, least: int, most: int, narrower: int
) -> None:
    wide = ParameterRule("a", minimum=least, maximum=most)
    narrow = ParameterRule("a", minimum=max(least, narrower), maximum=most)
    assert passes({"a": value}, wide) or not passes({"a": value}, narrow)
