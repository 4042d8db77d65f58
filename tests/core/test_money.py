from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.money import LARGEST, MICRO, format_usd, parse_usd, usd_number

amounts = st.integers(0, LARGEST)


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("0", 0),
        ("0.1", 100_000),
        (0.1, 100_000),
        (0.152, 152_000),
        (500, 500_000_000),
        ("0.000001", 1),
        (1e-06, 1),
        ("1e3", 1_000_000_000),
        ("1000000000", LARGEST),
    ],
)
def test_bu2_dollars_are_read_exactly(text: str | float, micro: int) -> None:
    assert parse_usd(text) == micro


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ten", "'ten' is not a number of dollars"),
        ("", "'' is not a number of dollars"),
        ("-1", "'-1' is not an amount of money: it must be finite and not negative"),
        ("NaN", "'NaN' is not an amount of money: it must be finite and not negative"),
        (float("inf"), "inf is not an amount of money: it must be finite and not negative"),
        ("0.0000001", "'0.0000001' is finer than a millionth of a dollar"),
        ("1000000000.01", "'1000000000.01' is more than the one billion dollars an amount may be"),
        (1e30, "1e+30 is more than the one billion dollars an amount may be"),
    ],
)
def test_bu3_what_is_no_amount_is_refused_in_words(text: str | float, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_usd(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (400_000, "0.40"),
        (12_345_678, "12.345678"),
        (-1_500_000, "-1.50"),
        (10**9, "1000.00"),
    ],
)
def test_dollars_are_written_with_two_to_six_places(micro: int, text: str) -> None:
    assert format_usd(micro) == text


@given(amounts)
def test_bu2_what_is_written_reads_as_the_same_amount(micro: int) -> None:
    assert parse_usd(format_usd(micro)) == micro


@given(amounts)
def test_bu2_the_json_number_is_exact(micro: int) -> None:
    number = usd_number(micro)
    assert Decimal(str(number)) * MICRO == micro
    assert "E" not in str(number)
    assert isinstance(number, int) or not str(number).endswith("0")
    assert isinstance(number, int) == (micro % MICRO == 0)


def test_bu2_ten_times_ten_cents_is_a_dollar() -> None:
    assert sum([parse_usd(0.1)] * 10) == MICRO
