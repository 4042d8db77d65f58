from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.detail import ModelDetail, Parameter, PriceInfo
from gateway.core.errors import Code, Refusal
from gateway.core.policy import Per, PolicySet, Price
from gateway.core.pricing import Quote, has_price, quote
from gateway.core.wire import Payload

VEO = Price(("Veo3",), 400_000, Per.SECOND, "durationSeconds", 8)
LENGTH = Parameter("durationSeconds", "integer", default="8")
VEO3 = ModelDetail("Veo3", (Parameter("prompt", "string"), LENGTH), PriceInfo(400_000, "second"))


def priced(payload: dict[str, Any], *prices: Price, model: str = "Veo3", detail: ModelDetail | None = None) -> Quote:
    return quote(PolicySet({}, {}, prices), model, Payload(payload), detail)


def refused(payload: dict[str, Any], *prices: Price, detail: ModelDetail | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        priced(payload, *prices, detail=detail)
    assert caught.value.code is Code.PAYLOAD_REJECTED
    return caught.value


def stated(unit: str, amount: int = 152_000, *parameters: Parameter) -> ModelDetail:
    return ModelDetail("Veo3", parameters, PriceInfo(amount, unit))


@pytest.mark.parametrize("value", [8, "8", 8.0, "8.0"])
def test_bo8_eight_seconds_cost_the_same_however_they_are_written(value: Any) -> None:
    quoted = priced({"durationSeconds": value}, VEO)
    assert (quoted.amount, quoted.seconds) == (3_200_000, 8)
    assert quoted.text == "8 x 0.40 USD per second = 3.20 USD, by the policy's price for Veo3"


@pytest.mark.parametrize("payload", [{}, {"durationSeconds": None}])
def test_bo8_what_is_absent_costs_the_default(payload: dict[str, Any]) -> None:
    assert priced(payload, VEO).amount == 3_200_000


@pytest.mark.parametrize("value", ["8s", True, False, [8], {"a": 8}, -1, 0, "0", "", "08", 10**10, 10**4000, 1e300])
def test_bo8_what_is_no_quantity_is_refused_never_priced(value: Any) -> None:
    refusal = refused({"durationSeconds": value}, VEO)
    assert refusal.message == "`durationSeconds` must be a number above 0: the price depends on it."
    assert refusal.siblings == {"parameter": "durationSeconds", "rule": "price"}


@pytest.mark.parametrize("name", ["durationseconds", "DurationSeconds", "duration_seconds"])
def test_bo8_a_priced_name_in_another_spelling_is_refused(name: str) -> None:
    assert refused({name: 60}, VEO).message == f"`{name}` must be written `durationSeconds`."


def test_a_fraction_of_a_micro_dollar_is_rounded_up() -> None:
    assert priced({"durationSeconds": 1.0000001}, VEO).amount == 400_001


@pytest.mark.parametrize("value", [0.000001, "0.0000001", 1e-300, 0.5, 1])
def test_bo8_no_video_is_shorter_than_a_second(value: Any) -> None:
    assert priced({"durationSeconds": value}, VEO).amount == 400_000
    assert priced({"durationSeconds": value}, detail=VEO3).amount == 400_000


def test_the_first_price_that_matches_wins() -> None:
    sharp = Price(("seedance-*",), 374_000, Per.SECOND, "duration", when={"resolution": "1080p"})
    soft = Price(("seedance-*",), 70_000, Per.SECOND, "duration")
    assert priced({"duration": 5, "resolution": "1080p"}, sharp, soft, model="seedance-2").amount == 1_870_000
    assert priced({"duration": 5, "resolution": "480p"}, sharp, soft, model="seedance-2").amount == 350_000
    assert priced({"duration": 5}, sharp, soft, model="seedance-2").amount == 350_000
    assert priced({"duration": 5}, sharp, soft, model="Veo3").amount is None


def test_a_condition_takes_the_models_default_for_what_is_absent() -> None:
    sharp = Price(("*",), 374_000, Per.SECOND, "duration", when={"resolution": "1080p", "fps": 24})
    detail = ModelDetail(
        "m", (Parameter("resolution", "enum", default="1080p"), Parameter("fps", "integer", default=24))
    )
    assert priced({"duration": 1}, sharp, detail=detail).amount == 374_000
    assert priced({"duration": 1, "fps": "24"}, sharp, detail=detail).amount == 374_000
    assert priced({"duration": 1, "fps": 30}, sharp, detail=detail).amount is None


def test_az5_a_condition_in_another_spelling_is_refused() -> None:
    price = Price(("*",), 374_000, Per.SECOND, "duration", when={"resolution": "480p"})
    assert (
        refused({"duration": 1, "Resolution": "1080p"}, price).message == "`Resolution` must be written `resolution`."
    )


SHARP = Price(("*",), 374_000, Per.SECOND, "duration", when={"resolution": "1080p"})
SOFT = Price(("*",), 70_000, Per.SECOND, "duration")
SIZES = Parameter("resolution", "enum", default="480p", options=("480p", "1080p"))


@pytest.mark.parametrize("value", ["1080P", "1080p ", " 1080P", ["1080p"], 1080, {"value": "1080p"}, "720p", True, ""])
def test_az5_a_condition_the_model_does_not_take_is_refused(value: Any) -> None:
    detail = ModelDetail("m", (SIZES,))
    refusal = refused({"duration": 1, "resolution": value}, SHARP, SOFT, detail=detail)
    assert refusal.message == "`resolution` must be one of 480p, 1080p."
    for declared, amount in (("1080p", 374_000), ("480p", 70_000), (None, 70_000)):
        assert priced({"duration": 1, "resolution": declared}, SHARP, SOFT, detail=detail).amount == amount


@pytest.mark.parametrize("detail", [None, ModelDetail("m", (Parameter("resolution", "string"),))])
@pytest.mark.parametrize(
    ("value", "message", "rule"),
    [
        ("1080P", "must be written `1080p`: the price depends on it.", "spelling"),
        ("\t1080p ", "must be written `1080p`: the price depends on it.", "spelling"),
        ("1080 p", "must be written `1080p`: the price depends on it.", "spelling"),
        ("1080p\x00", "must be written `1080p`: the price depends on it.", "spelling"),
        ("1080p\u200b", "must be written `1080p`: the price depends on it.", "spelling"),
        ("\uff11080P", "must be written `1080p`: the price depends on it.", "spelling"),
        (["1080p"], "must be a single value: the price depends on it.", "price"),
        ({"value": "1080p"}, "must be a single value: the price depends on it.", "price"),
    ],
)
def test_az5_a_condition_in_another_writing_is_refused(
    value: Any, message: str, rule: str, detail: ModelDetail | None
) -> None:
    refusal = refused({"duration": 1, "resolution": value}, SHARP, SOFT, detail=detail)
    assert (refusal.message, refusal.siblings) == (f"`resolution` {message}", {"parameter": "resolution", "rule": rule})
    assert priced({"duration": 1, "resolution": "720p"}, SHARP, SOFT, detail=detail).amount == 70_000


def test_conditions_of_several_prices_may_differ_in_writing_alone() -> None:
    loud = Price(("*",), 374_000, Per.SECOND, "duration", when={"resolution": "1080P"})
    for written in ("1080p", "1080P"):
        assert priced({"duration": 1, "resolution": written}, SHARP, loud, SOFT).amount == 374_000
    sound = Price(("*",), 400_000, Per.SECOND, "duration", when={"sound": True, "fps": 24})
    message = "`sound` must be written `true`: the price depends on it."
    assert refused({"duration": 1, "sound": "True", "fps": 24}, sound, SOFT).message == message
    message = "`fps` must be written `24`: the price depends on it."
    assert refused({"duration": 1, "sound": True, "fps": "24 "}, sound, SOFT).message == message
    assert priced({"duration": 1, "sound": True, "fps": "24.0"}, sound, SOFT).amount == 400_000
    assert priced({"duration": 1, "sound": False, "fps": 24}, sound, SOFT).amount == 70_000


NOT_PLAIN = ["01080", "+1080", "1080.", "1.08e3", "0x438", "1_080", "1080p", "\u0661080", " 1081", True, False]


@pytest.mark.parametrize("value", NOT_PLAIN)
def test_az5_beside_a_number_a_text_with_digits_is_a_plain_one(value: Any) -> None:
    tall = Price(("*",), 374_000, Per.SECOND, "duration", when={"height": 1080})
    refusal = refused({"duration": 1, "height": value}, tall, SOFT)
    assert refusal.message in (
        "`height` must be a plain number: the price depends on it.",
        "`height` must be written `1080`: the price depends on it.",
    )
    for written, amount in ((1080, 374_000), ("1080.0", 374_000), (1.08e3, 374_000), (720, 70_000), ("108.0", 70_000)):
        assert priced({"duration": 1, "height": written}, tall, SOFT).amount == amount
    assert priced({"duration": 1, "height": "auto"}, tall, SOFT).amount == 70_000


@pytest.mark.parametrize("value", [1, 0, "1", "yes", "on", "t", "", 1.0])
def test_az5_beside_a_truth_value_there_is_no_other(value: Any) -> None:
    sound = Price(("*",), 374_000, Per.SECOND, "duration", when={"sound": True})
    message = "`sound` must be `true` or `false`: the price depends on it."
    assert refused({"duration": 1, "sound": value}, sound, SOFT).message == message
    for plain, amount in ((True, 374_000), (False, 70_000), (None, 70_000)):
        assert priced({"duration": 1, "sound": plain}, sound, SOFT).amount == amount


def test_what_no_price_of_the_model_depends_on_may_be_anything() -> None:
    other = Price(("seedance-*",), 374_000, Per.SECOND, "duration", when={"resolution": "1080p"})
    detail = ModelDetail("Veo3", (SIZES,))
    assert priced({"duration": 1, "resolution": ["1080P"]}, other, SOFT, detail=detail).amount == 70_000


def test_a_job_has_one_price() -> None:
    quoted = priced({"duration": 5}, Price(("Kling-*",), 280_000, Per.JOB), model="Kling-V2.1")
    assert (quoted.amount, quoted.seconds) == (280_000, 5)
    assert quoted.text == "0.28 USD per job = 0.28 USD, by the policy's price for Kling-*"


@pytest.mark.parametrize(("count", "amount"), [(None, 35_000), (1, 35_000), ("3", 105_000), (1.5, 70_000)])
def test_images_are_counted_whole(count: Any, amount: int) -> None:
    price = Price(("*",), 35_000, Per.IMAGE, "max_images", 1)
    assert priced({"max_images": count}, price).amount == amount


def test_characters_are_priced_in_proportion() -> None:
    price = Price(("*",), 100_000, Per.THOUSAND_CHARACTERS, "text")
    assert priced({"text": "\u00e9" * 1500}, price).amount == 150_000
    assert priced({"text": "a"}, price).amount == 100
    assert priced({"text": "abc"}, price).text == (
        "3 x 0.10 USD per 1k characters = 0.0003 USD, by the policy's price for *"
    )
    for value in ("", 7, ["a"]):
        assert refused({"text": value}, price).message == "`text` must be a text: the price depends on it."
    assert priced({}, price).amount is None


def test_bu3_a_price_nobody_states_is_unknown() -> None:
    assert priced({}) == Quote(
        None, 0, "the policy states none for Veo3, and upstream's could not be had: see if GET …/models lists it"
    )
    assert priced({}, detail=ModelDetail("Veo3")) == Quote(None, 0, "nobody states a price for Veo3")
    assert priced({}, detail=stated("minute of fame")).amount is None


def test_bu3_a_stated_price_of_nothing_is_no_price() -> None:
    assert priced({"duration": 5}, detail=stated("second", 0)).amount is None


def test_a_quantity_nobody_says_leaves_the_price_unknown() -> None:
    quoted = priced({}, Price(("*",), 400_000, Per.SECOND, "durationSeconds"))
    assert quoted == Quote(None, 0, "the policy's price for * is per second, and nothing says how many")


@pytest.mark.parametrize("name", ["durationSeconds", "duration", "duration_seconds", "seconds"])
def test_the_models_own_price_knows_what_models_call_seconds(name: str) -> None:
    quoted = priced({name: "5"}, detail=stated("second", 152_000, Parameter(name, "integer")))
    assert (quoted.amount, quoted.seconds) == (760_000, 5)
    assert quoted.text == "5 x 0.152 USD per second = 0.76 USD, by the model's price_info"


def test_the_models_own_default_is_priced() -> None:
    detail = stated("second", 152_000, Parameter("prompt", "string"), Parameter("duration", "integer", default="6"))
    assert priced({}, detail=detail) == Quote(
        912_000, 6, "6 x 0.152 USD per second = 0.912 USD, by the model's price_info"
    )


@pytest.mark.parametrize("name", ["seconds", "duration"])
@pytest.mark.parametrize("value", [0.000001, 1e-9, "0.1", 8, "x"])
def test_az5_a_parameter_the_model_does_not_have_prices_nothing(name: str, value: Any) -> None:
    for payload in ({name: value}, {name: value, "durationSeconds": 8}):
        refusal = refused(payload, detail=VEO3)
        assert refusal.message == f"`{name}` is no parameter of Veo3; it takes `durationSeconds`."
        assert refusal.siblings == {"parameter": name, "rule": "unknown"}
    assert priced({name: None}, detail=VEO3).amount == 3_200_000


def test_az5_the_models_own_parameter_in_another_spelling_is_refused() -> None:
    message = "`duration_seconds` must be written `durationSeconds`."
    assert refused({"duration_seconds": 1}, detail=VEO3).message == message


def test_az5_a_model_without_such_a_parameter_has_no_price_per_second() -> None:
    detail = stated("second", 152_000, Parameter("prompt", "string"))
    assert priced({}, detail=detail).amount is None
    message = "`seconds` is no parameter of Veo3, so it says nothing; leave it out."
    assert refused({"seconds": 1}, detail=detail).message == message


@pytest.mark.parametrize("unit", ["second", "image"])
def test_az5_of_two_parameters_none_is_chosen(unit: str) -> None:
    names = ("duration", "seconds") if unit == "second" else ("max_images", "n")
    detail = stated(unit, 152_000, *(Parameter(name, "integer", default=1) for name in names))
    for payload in ({}, {names[0]: 1}, {names[1]: 1}, dict.fromkeys(names, 1)):
        assert priced(payload, detail=detail).amount is None


OPTIONS = Parameter("durationSeconds", "enum", default="8", options=("4", "6", "8"))
RANGE = Parameter("durationSeconds", "integer", default=8, minimum=4, maximum=8)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (OPTIONS, 1, "`durationSeconds` must be one of 4, 6, 8."),
        (OPTIONS, 1e-300, "`durationSeconds` must be one of 4, 6, 8."),
        (RANGE, "3", "`durationSeconds` must be a number of at least 4."),
        (RANGE, 8.5, "`durationSeconds` must be a number of at most 8."),
    ],
)
def test_bo8_a_quantity_the_model_does_not_take_is_refused(parameter: Parameter, value: Any, message: str) -> None:
    detail = stated("second", 152_000, parameter)
    assert refused({"durationSeconds": value}, detail=detail).message == message
    assert refused({"durationSeconds": value}, VEO, detail=detail).message == message
    assert priced({"durationSeconds": 4}, detail=detail).amount == 608_000


def test_begun_seconds_are_whole_where_upstream_states_the_price() -> None:
    assert priced({"durationSeconds": 5.5}, VEO).amount == 2_200_000
    assert priced({"durationSeconds": 5.5}, detail=VEO3).amount == 2_400_000


def test_the_policys_word_for_the_parameter_holds() -> None:
    price = Price(("*",), 400_000, Per.SECOND, "length", 8)
    assert priced({"length": 2}, price, detail=VEO3).amount == 800_000
    assert priced({"durationSeconds": 1}, price, detail=VEO3).amount == 3_200_000


@pytest.mark.parametrize(
    ("unit", "payload", "amount"),
    [
        ("request", {}, 152_000),
        ("Request", {"n": 4}, 152_000),
        ("image", {}, 152_000),
        ("image", {"num_images": 2}, 304_000),
        ("image", {"sampleCount": "4"}, 608_000),
        ("1k characters", {"text": "a" * 500}, 76_000),
    ],
)
def test_the_units_of_the_models_own_price(unit: str, payload: dict[str, Any], amount: int) -> None:
    parameters = (Parameter(name, "string") for name in payload)
    assert priced(payload, detail=stated(unit, 152_000, *parameters)).amount == amount


@pytest.mark.parametrize(
    ("detail", "known"),
    [
        (None, False),
        (ModelDetail("Sora"), False),
        (stated("request"), True),
        (stated("image"), True),
        (stated("character"), False),
        (stated("second"), False),
        (stated("second", 0, LENGTH), False),
        (VEO3, True),
    ],
)
def test_whether_there_is_a_price_at_all(detail: ModelDetail | None, known: bool) -> None:  # noqa: FBT001
    assert has_price(PolicySet({}, {}, (VEO,)), "Sora", detail) is known
    assert has_price(PolicySet({}, {}, (VEO,)), "Veo3", detail)


def test_more_than_a_billion_dollars_is_refused() -> None:
    price = Price(("*",), 10**15, Per.SECOND, "duration")
    assert refused({"duration": 2}, price).message == "This would cost more than one billion dollars; ask for less."
    assert priced({"duration": 1}, price).amount == 10**15


PER_JOB = Price(("*",), 1, Per.JOB)


def unread(quoted: Quote) -> str:
    """Why the seconds cannot be counted; then they are none."""
    assert quoted.unread is not None
    assert quoted.seconds == 0
    assert quoted.unread.code is Code.PAYLOAD_REJECTED
    return quoted.unread.message


@pytest.mark.parametrize(("payload", "seconds"), [({"duration": 5}, 5), ({"duration": "5.5"}, 6), ({}, 0)])
def test_seconds_are_read_whatever_the_price_is_per(payload: dict[str, Any], seconds: int) -> None:
    quoted = priced(payload, PER_JOB)
    assert (quoted.seconds, quoted.unread) == (seconds, None)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"duration": "5s"}, "`duration` must be a number above 0: a limit depends on it."),
        ({"duration": -5}, "`duration` must be a number above 0: a limit depends on it."),
        ({"duration": 10**10}, "`duration` must be a number above 0: a limit depends on it."),
        ({"Duration": 5}, "`Duration` must be written `duration`."),
        (
            {"duration": 5, "seconds": 9},
            "`duration` and `seconds` both say how many seconds this is, and a limit depends on it.",
        ),
    ],
)
def test_seconds_that_cannot_be_read_say_why(payload: dict[str, Any], message: str) -> None:
    assert unread(priced(payload, PER_JOB)) == message


UNSAID = "must say how many seconds of video this is: a limit depends on it."


def test_seconds_nobody_says_are_unknown_where_the_model_may_have_some() -> None:
    lengthy = (Parameter("prompt", "string"), Parameter("duration", "integer"))
    for price in ((), (PER_JOB,)):
        assert unread(priced({}, *price, detail=ModelDetail("Veo3", lengthy))) == f"`duration` {UNSAID}"
    assert unread(priced({})) == f"`durationSeconds` {UNSAID}"
    assert unread(priced({}, detail=ModelDetail("Veo3"))) == f"`durationSeconds` {UNSAID}"
    assert unread(priced({}, Price(("*",), 1, Per.SECOND, "length"))) == f"`length` {UNSAID}"
    assert unread(priced({}, detail=stated("second"))) == (
        "Nothing says how many seconds of video this is, and a limit depends on it. "
        "Ask your platform team for a price per second."
    )


def test_a_model_without_a_length_makes_no_seconds() -> None:
    still = (Parameter("prompt", "string"),)
    for detail in (ModelDetail("Veo3", still), stated("request", 1, *still), stated("image")):
        quoted = priced({}, detail=detail)
        assert (quoted.seconds, quoted.unread) == (0, None)


def test_seconds_are_those_the_model_would_make() -> None:
    detail = ModelDetail("Veo3", (OPTIONS,))
    assert priced({}, PER_JOB, detail=detail).seconds == 8
    assert priced({"durationSeconds": 6}, PER_JOB, detail=detail).seconds == 6
    assert unread(priced({"durationSeconds": 1}, PER_JOB, detail=detail)) == "`durationSeconds` must be one of 4, 6, 8."
    message = "`seconds` is no parameter of Veo3; it takes `durationSeconds`."
    assert unread(priced({"seconds": 1}, PER_JOB, detail=detail)) == message


def test_seconds_are_those_the_price_names() -> None:
    assert priced({"length": 7, "duration": "x"}, Price(("*",), 1, Per.SECOND, "length")).seconds == 7
    assert priced({}, Price(("*",), 1, Per.SECOND, "length", 2.5)).seconds == 3


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 10**6 - 1))
def test_bu2_prices_are_exact_integers(amount: int, whole: int, millionths: int) -> None:
    text = f"{whole}.{millionths:06d}"
    quoted = priced({"duration": text}, Price(("*",), amount, Per.SECOND, "duration"))
    assert type(quoted.amount) is int
    assert quoted.amount == ceil(Fraction(amount * max(whole * 10**6 + millionths, 10**6), 10**6))


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2)
)


@given(anything)
def test_bo8_whatever_is_sent_is_never_priced_at_nothing(value: Any) -> None:
    try:
        amount = priced({"durationSeconds": value}, VEO).amount
    except Refusal:
        return
    assert amount is not None
    assert amount >= 400_000


@given(st.dictionaries(st.sampled_from(["durationSeconds", "duration", "duration_seconds", "seconds", "n"]), anything))
def test_az5_no_payload_costs_less_than_what_the_model_takes_from_it(payload: dict[str, Any]) -> None:
    detail = stated("second", 152_000, OPTIONS)
    try:
        amount = priced(payload, detail=detail).amount
    except Refusal:
        return
    asked = payload.get("durationSeconds")
    assert amount == 152_000 * (8 if asked is None else int(asked))
