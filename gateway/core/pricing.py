"""What a create costs, exactly, before it is sent: the policy's prices first, then the model's own `price_info`.

Nothing is ever priced 0 because its quantity could not be read. A quantity that is no positive number is refused; a
price that nobody states is None, and whether that stops the job is for `decide` to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from gateway.core.access import matches
from gateway.core.detail import ModelDetail, PriceInfo
from gateway.core.errors import Refusal
from gateway.core.money import LARGEST, format_usd
from gateway.core.payload import check_spelling, number_of, rejected, same_value
from gateway.core.policy import Per, PolicySet, Price

SECONDS_FIELDS = ("durationSeconds", "duration", "duration_seconds", "seconds")
"""What models call the length of a video."""

_FIELDS: Mapping[Per, tuple[str, ...]] = {
    Per.SECOND: SECONDS_FIELDS,
    Per.IMAGE: ("max_images", "num_images", "n", "number_of_images", "sampleCount", "numberOfImages"),
    Per.THOUSAND_CHARACTERS: ("text",),
}
"""By what a price is per: the parameters that say how many, where the price names none."""

_UNITS: Mapping[str, Per] = {
    "second": Per.SECOND,
    "seconds": Per.SECOND,
    "image": Per.IMAGE,
    "images": Per.IMAGE,
    "request": Per.JOB,
    "requests": Per.JOB,
    "1k characters": Per.THOUSAND_CHARACTERS,
    "1k_characters": Per.THOUSAND_CHARACTERS,
}
"""By `price_info.unit`. A unit that is not here is not guessed at: the price is unknown."""

_MOST = 10**9
"""More seconds, images or characters than this nobody asks for."""


@dataclass(frozen=True, slots=True)
class Quote:
    """`amount` in micro-USD, None where nobody states a price; `text` how it was reached.

    `seconds` of video asked for, begun ones counted whole: 0 for a model without such a parameter, None where there is
    one that cannot be read.
    """

    amount: int | None
    seconds: int | None
    text: str


def quote(policy: PolicySet, model: str, payload: Mapping[str, Any], detail: ModelDetail | None) -> Quote:
    """The price of this payload. Raises Refusal 400 `payload_rejected` for a priced parameter that is no quantity."""
    price, origin = _find_price(policy, model, payload, detail)
    seconds = _seconds(price, payload, detail)
    if price is None:
        return Quote(None, seconds, f"nobody states a price for {model}")
    quantity = _quantity(price, payload, detail)
    if quantity is None:
        return Quote(None, seconds, f"{origin} is per {price.per}, and nothing says how many")
    pieces = quantity / 1000 if price.per is Per.THOUSAND_CHARACTERS else quantity
    amount = ceil(price.amount * pieces)
    if amount > LARGEST:
        raise rejected(_names(price)[0], "price", "This would cost more than one billion dollars; ask for less.")
    return Quote(amount, seconds, f"{_sum(price, quantity)} = {format_usd(amount)} USD, by {origin}")


def _find_price(
    policy: PolicySet, model: str, payload: Mapping[str, Any], detail: ModelDetail | None
) -> tuple[Price | None, str]:
    """The price that holds, and where it comes from in words."""
    for price in policy.prices:
        if matches(price.models, model):
            check_spelling(payload, price.when)
            if all(_has(payload, detail, name, wanted) for name, wanted in price.when.items()):
                return price, f"the policy's price for {', '.join(price.models)}"
    if detail is None or detail.price is None:
        return None, ""
    return _stated_price(model, detail.price), "the model's price_info"


def _has(payload: Mapping[str, Any], detail: ModelDetail | None, name: str, wanted: Any) -> bool:
    value = payload.get(name)
    return same_value(_default_of(detail, name) if value is None else value, wanted)


def _default_of(detail: ModelDetail | None, name: str) -> Any:
    parameters = detail.parameters if detail is not None else ()
    return next((parameter.default for parameter in parameters if parameter.name == name), None)


def _stated_price(model: str, info: PriceInfo) -> Price | None:
    """Upstream's own price. A 0 says that `pricing_details` has the price in prose, so it is none."""
    per = _UNITS.get(info.unit.lower())
    if per is None or info.amount <= 0:
        return None
    return Price((model,), info.amount, per, default_quantity=1 if per is Per.IMAGE else None)


def _names(price: Price) -> tuple[str, ...]:
    """The parameters that may say how many."""
    return (price.quantity_field,) if price.quantity_field else _FIELDS.get(price.per, ("model",))


def _quantity(price: Price, payload: Mapping[str, Any], detail: ModelDetail | None) -> Fraction | None:
    """How many seconds, images or characters are asked for, 1 for a job; None where nothing says so."""
    if price.per is Per.JOB:
        return Fraction(1)
    name, value = _read(_names(price), payload, detail, price.default_quantity)
    if value is None:
        return None
    if price.per is Per.THOUSAND_CHARACTERS:
        number = Fraction(len(value)) if isinstance(value, str) else None
    else:
        number = number_of(value)
    if number is None or not 0 < number <= _MOST:
        wanted = "a text" if price.per is Per.THOUSAND_CHARACTERS else "a number above 0"
        raise rejected(name, "price", f"`{name}` must be {wanted}: the price depends on it.")
    return Fraction(ceil(number)) if price.per is Per.IMAGE else number


def _read(
    names: tuple[str, ...], payload: Mapping[str, Any], detail: ModelDetail | None, default: float | None
) -> tuple[str, Any]:
    """The parameter that says how many, and its value: the payload's, the model's default, else `default`."""
    check_spelling(payload, names)
    given = [name for name in names if payload.get(name) is not None]
    if len(given) > 1:
        raise rejected(given[1], "spelling", f"`{given[0]}` and `{given[1]}` both say how many; send one of them.")
    if given:
        return given[0], payload[given[0]]
    defaults = ((name, _default_of(detail, name)) for name in names)
    return next((found for found in defaults if found[1] is not None), (names[0], default))


def _seconds(price: Price | None, payload: Mapping[str, Any], detail: ModelDetail | None) -> int | None:
    """The seconds of video asked for. What cannot be read matters only to a team that limits seconds."""
    per_second = price is not None and price.per is Per.SECOND
    names = _names(price) if price is not None and per_second else SECONDS_FIELDS
    default = price.default_quantity if price is not None and per_second else None
    try:
        _, value = _read(names, payload, detail, default)
    except Refusal:
        return None
    if value is None:
        return None if _declares(detail, names) else 0
    number = number_of(value)
    return ceil(number) if number is not None and 0 < number <= _MOST else None


def _declares(detail: ModelDetail | None, names: tuple[str, ...]) -> bool:
    return detail is not None and any(parameter.name in names for parameter in detail.parameters)


def _sum(price: Price, quantity: Fraction) -> str:
    """`8 x 0.40 USD per second`."""
    rate = f"{format_usd(price.amount)} USD per {price.per}"
    return rate if price.per is Per.JOB else f"{float(quantity):g} x {rate}"
