"""Money is an integer number of micro-USD: a millionth of a dollar, the unit of GMI's own `price`."""

from decimal import Decimal, InvalidOperation

MICRO = 1_000_000
LARGEST = 10**9 * MICRO
"""The largest amount accepted anywhere, one billion dollars: sums stay far inside 64 bits."""


def parse_usd(text: str | float) -> int:
    """The micro-USD in a decimal number of dollars.

    A float is read by its shortest decimal form, so 0.1 is exactly 100 000. Raises ValueError with a sentence
    for anything negative, not finite, finer than a micro-dollar, or above one billion dollars.
    """
    try:
        micro = Decimal(str(text)) * MICRO
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number of dollars") from None
    if not micro.is_finite() or micro < 0:
        raise ValueError(f"{text!r} is not an amount of money: it must be finite and not negative")
    if micro > LARGEST:
        raise ValueError(f"{text!r} is more than the one billion dollars an amount may be")
    if micro != micro.to_integral_value():
        raise ValueError(f"{text!r} is finer than a millionth of a dollar")
    return int(micro)


def format_usd(micro: int) -> str:
    """Dollars as a plain decimal with at least two and at most six places: `0.40`, `12.345678`."""
    sign = "-" if micro < 0 else ""
    dollars, rest = divmod(abs(micro), MICRO)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{places}"


def usd_number(micro: int) -> int | Decimal:
    """Dollars as the JSON number that bodies show, exact and without an exponent: a float is written `1e-06`."""
    return micro // MICRO if micro % MICRO == 0 else Decimal(micro) / MICRO
