"""What a create costs, exactly, before it is sent: the policy's prices first, then the model's own `price_info`.

Nothing is ever priced low because its quantity could not be read. The quantity stands in the parameter that the
policy's price names, else in the one that the model's detail declares: upstream ignores every other. One that is no
positive number, or none the model takes, is refused, as is a value that may be meant for what a price's `when` says; a
price that nobody states is None, and whether that stops the job is for `decide` to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

from gateway.core.access import matches
from gateway.core.detail import ModelDetail, Parameter
from gateway.core.errors import Refusal
from gateway.core.money import LARGEST, format_usd
from gateway.core.payload import check_condition, check_declared, check_spelling, number_of, rejected, same_value
from gateway.core.policy import Per, PolicySet, Price
from gateway.core.wire import Payload

SECONDS_FIELDS = ("durationSeconds", "duration", "duration_seconds", "seconds")
"""What models call the length of a video."""

_FIELDS: Mapping[Per, tuple[str, ...]] = {
    Per.SECOND: SECONDS_FIELDS,
    Per.IMAGE: ("max_images", "num_images", "n", "number_of_images", "sampleCount", "numberOfImages"),
    Per.THOUSAND_CHARACTERS: ("text",),
}
"""By what a price is per: the parameters that say how many, where a model has them."""

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
"""More seconds or images than this nobody asks for."""

_SUBJECTS = {"price": "the price", "seconds": "a limit"}
"""By rule: what depends on a quantity."""


@dataclass(frozen=True, slots=True)
class Quote:
    """`amount` in micro-USD, None where nobody states a price; `text` how it was reached.

    `seconds` of video asked for, begun ones counted whole: 0 for a model without such a parameter, and where they
    cannot be told. Then `unread` is the refusal for a team that limits them.
    """

    amount: int | None
    seconds: int
    text: str
    unread: Refusal | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Rate:
    """A price as it holds for one payload: `origin` in words, `whole` where begun seconds and images count whole."""

    price: Price
    origin: str
    whole: bool


def quote(policy: PolicySet, model: str, payload: Payload, detail: ModelDetail | None) -> Quote:
    """The price of this payload. Raises Refusal 400 `payload_rejected` for a priced parameter that is no quantity."""
    rate = _find_rate(policy, model, payload, detail)
    quantity = _quantity(rate, payload, detail) if rate is not None else None
    seconds, unread = 0, None
    try:
        seconds = _seconds(rate, quantity, payload, detail)
    except Refusal as refusal:
        unread = refusal
    if rate is None:
        nobody = f"nobody states a price for {model}"
        unasked = f"the policy states none for {model}, and upstream's could not be had: see if GET …/models lists it"
        return Quote(None, seconds, nobody if detail is not None else unasked, unread)
    price = rate.price
    if quantity is None:
        return Quote(None, seconds, f"{rate.origin} is per {price.per}, and nothing says how many", unread)
    pieces = quantity / 1000 if price.per is Per.THOUSAND_CHARACTERS else quantity
    amount = ceil(price.amount * pieces)
    if amount > LARGEST:
        name = price.quantity_field or "model"
        raise rejected(name, "price", "This would cost more than one billion dollars; ask for less.")
    return Quote(amount, seconds, f"{_sum(price, quantity)} = {format_usd(amount)} USD, by {rate.origin}", unread)


def has_price(policy: PolicySet, model: str, detail: ModelDetail | None) -> bool:
    """Whether there is a price for the model at all; a payload may still leave it open."""
    if any(matches(price.models, model) for price in policy.prices):
        return True
    price = _stated_price(detail, Payload({}))
    return price is not None and (price.per is Per.JOB or bool(price.quantity_field or price.default_quantity))


def _find_rate(policy: PolicySet, model: str, payload: Payload, detail: ModelDetail | None) -> _Rate | None:
    prices = [price for price in policy.prices if matches(price.models, model)]
    for price in prices:
        check_spelling(payload, price.when)
        for name in price.when:
            _check_condition(name, [each.when[name] for each in prices if name in each.when], payload, detail)
        if all(_has(payload, detail, name, wanted) for name, wanted in price.when.items()):
            origin = f"the policy's price for {', '.join(price.models)}"
            return _Rate(price, origin, whole=price.per is Per.IMAGE)
    stated = _stated_price(detail, payload)
    return _Rate(stated, "the model's price_info", whole=True) if stated is not None else None


def _check_condition(name: str, wanted: Sequence[Any], payload: Payload, detail: ModelDetail | None) -> None:
    """Refuse a value the price depends on where upstream may read another: it may be the one that costs more."""
    given, parameter = payload.get(name), _parameter(detail, name)
    if given is None:
        return
    if parameter is not None:
        check_declared(given, parameter)
    if parameter is None or not parameter.options:
        check_condition(name, given, wanted)


def _has(payload: Payload, detail: ModelDetail | None, name: str, wanted: Any) -> bool:
    return same_value(_value(name, payload, detail), wanted)


def _stated_price(detail: ModelDetail | None, payload: Payload) -> Price | None:
    """Upstream's own price. A 0 says that `pricing_details` has the price in prose, so it is none."""
    info = detail.price if detail is not None else None
    per = _UNITS.get(info.unit.lower()) if info is not None else None
    if detail is None or info is None or per is None or info.amount <= 0:
        return None
    names = _declared(detail, per, payload)
    one_image = 1 if per is Per.IMAGE and len(names) < 2 else None
    return Price((detail.model,), info.amount, per, names[0] if len(names) == 1 else None, one_image)


def _declared(detail: ModelDetail, per: Per, payload: Payload) -> tuple[str, ...]:
    """Those parameters the model has that say how many. One that it has not is refused: upstream would ignore it."""
    known = _FIELDS.get(per, ())
    names = tuple(parameter.name for parameter in detail.parameters if parameter.name in known)
    check_spelling(payload, names)
    for alias in known:
        if alias not in names and payload.get(alias) is not None:
            instead = f"; it takes `{names[0]}`" if names else ", so it says nothing; leave it out"
            raise rejected(alias, "unknown", f"`{alias}` is no parameter of {detail.model}{instead}.")
    return names


def _value(name: str, payload: Payload, detail: ModelDetail | None) -> Any:
    """What a parameter will be: the payload's value, else the model's default, else None."""
    value, parameter = payload.get(name), _parameter(detail, name)
    return parameter.default if value is None and parameter is not None else value


def _parameter(detail: ModelDetail | None, name: str) -> Parameter | None:
    parameters = detail.parameters if detail is not None else ()
    return next((parameter for parameter in parameters if parameter.name == name), None)


def _read(name: str, payload: Payload, detail: ModelDetail | None) -> Any:
    """The value of a parameter that says how many, once it is sure that upstream reads the same."""
    check_spelling(payload, (name,))
    given, parameter = payload.get(name), _parameter(detail, name)
    if given is not None and parameter is not None:
        check_declared(given, parameter)
    return _value(name, payload, detail)


def _quantity(rate: _Rate, payload: Payload, detail: ModelDetail | None) -> Fraction | None:
    """How many seconds, images or characters are paid for, 1 for a job; None where nothing says so."""
    price, name = rate.price, rate.price.quantity_field
    if price.per is Per.JOB:
        return Fraction(1)
    value = _read(name, payload, detail) if name is not None else None
    if value is None:
        value = price.default_quantity
    if value is None:
        return None
    if price.per is Per.THOUSAND_CHARACTERS:
        return _length(name or "text", value)
    number = _number(name or "model", value, "price")
    if rate.whole:
        return Fraction(ceil(number))
    return max(number, Fraction(1))


def _number(name: str, value: Any, rule: str) -> Fraction:
    number = number_of(value)
    if number is None or not 0 < number <= _MOST:
        raise rejected(name, rule, f"`{name}` must be a number above 0: {_SUBJECTS[rule]} depends on it.")
    return number


def _length(name: str, value: Any) -> Fraction:
    if not isinstance(value, str) or not value:
        raise rejected(name, "price", f"`{name}` must be a text: the price depends on it.")
    return Fraction(len(value))


def _seconds(rate: _Rate | None, quantity: Fraction | None, payload: Payload, detail: ModelDetail | None) -> int:
    """The seconds of video asked for. Raises Refusal where they cannot be told.

    None are asked for where the model has no such parameter; where its parameters are not known, a price that is not
    per second says so.
    """
    if rate is not None and rate.price.per is Per.SECOND:
        if quantity is None:
            raise _unsaid(rate.price.quantity_field)
        return ceil(quantity)
    known = detail if detail is not None and detail.parameters else None
    names = _declared(known, Per.SECOND, payload) if known is not None else _said(payload)
    if len(names) > 1:
        both = f"`{names[0]}` and `{names[1]}`"
        raise rejected(names[1], "seconds", f"{both} both say how many seconds this is, and a limit depends on it.")
    if names:
        value = _read(names[0], payload, detail)
        if value is None:
            raise _unsaid(names[0])
        return ceil(_number(names[0], value, "seconds"))
    if known is None and rate is None:
        raise _unsaid(SECONDS_FIELDS[0])
    return 0


def _said(payload: Payload) -> tuple[str, ...]:
    """The parameters of the payload that may say the seconds, where nobody knows which ones the model has."""
    check_spelling(payload, SECONDS_FIELDS)
    return tuple(name for name in SECONDS_FIELDS if payload.get(name) is not None)


def _unsaid(name: str | None) -> Refusal:
    if name is None:
        message = "Nothing says how many seconds of video this is, and a limit depends on it."
        return rejected("model", "seconds", f"{message} Ask your platform team for a price per second.")
    return rejected(name, "seconds", f"`{name}` must say how many seconds of video this is: a limit depends on it.")


def _sum(price: Price, quantity: Fraction) -> str:
    """`8 x 0.40 USD per second`."""
    rate = f"{format_usd(price.amount)} USD per {price.per}"
    return rate if price.per is Per.JOB else f"{float(quantity):g} x {rate}"
