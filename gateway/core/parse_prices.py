"""Prices: `{models: [Veo3], usd: 0.40, per: second, seconds: durationSeconds, default_seconds: 8}`."""

from collections.abc import Iterable, Mapping

from gateway.core.money import parse_usd
from gateway.core.nodes import Node, Report, Scalar, Table, show
from gateway.core.parse_fields import Fields, read_fields
from gateway.core.policy import Per, Price

QUANTITY_FIELDS: Mapping[Per, str] = {
    Per.SECOND: "seconds",
    Per.IMAGE: "images",
    Per.THOUSAND_CHARACTERS: "characters",
}
"""By what a price is per: the field that names the payload parameter with the quantity."""

DEFAULT_FIELDS: Mapping[Per, str] = {Per.SECOND: "default_seconds", Per.IMAGE: "default_images"}
"""By what a price is per: the field with the quantity where the payload has none."""

PRICE_FIELDS = ("models", "usd", "per", *QUANTITY_FIELDS.values(), *DEFAULT_FIELDS.values(), "when")


def read_prices(items: Iterable[Node], report: Report) -> tuple[Price, ...]:
    """The price list, in its order: the first match wins."""
    prices: list[Price] = []
    for item in items:
        price = _read_price(item, report)
        if price is None:
            continue
        if any(_hides(earlier, price) for earlier in prices):
            report.warn(item.mark, "never-used", "an earlier price takes every model of this one: put this one first")
        prices.append(price)
    return tuple(prices)


def _read_price(node: Node, report: Report) -> Price | None:
    fields = read_fields(node, PRICE_FIELDS, "a price", report)
    if fields is None:
        return None
    complete = fields.require("models", "usd", "per")
    per = fields.choice("per", Per, Per.JOB)
    if fields.has("per"):
        _check_quantity_fields(fields, per)
    price = Price(
        models=fields.globs("models"),
        amount=_read_usd(fields),
        per=per,
        quantity_field=fields.text(QUANTITY_FIELDS[per]) if per in QUANTITY_FIELDS else None,
        default_quantity=_read_default(fields, DEFAULT_FIELDS[per]) if per in DEFAULT_FIELDS else None,
        when=_read_when(fields),
    )
    return price if complete else None


def _check_quantity_fields(fields: Fields, per: Per) -> None:
    """A price per second says which parameter holds the seconds, and says nothing of images."""
    wanted, default = QUANTITY_FIELDS.get(per), DEFAULT_FIELDS.get(per)
    if wanted is not None and not fields.has(wanted):
        problem = f"a price per {per} needs `{wanted}`: the payload parameter that says how many"
        fields.report.error(fields.mark, problem)
    for name in (*QUANTITY_FIELDS.values(), *DEFAULT_FIELDS.values()):
        if fields.has(name) and name not in (wanted, default):
            fields.report.error(fields.place(name), f"`{name}` has no meaning in a price per {per}")


def _read_usd(fields: Fields) -> int:
    node = fields.nodes.get("usd")
    if fields.number("usd") is None or not isinstance(node, Scalar):
        return 0
    try:
        return parse_usd(node.text)
    except ValueError as error:
        fields.report.error(node.mark, str(error))
        return 0


def _read_default(fields: Fields, name: str) -> int | float | None:
    number = fields.number(name)
    if number is not None and number <= 0:
        fields.report.error(fields.place(name), f"`{name}` must be more than 0")
    return number


def _read_when(fields: Fields) -> Mapping[str, str | int | float | bool]:
    """The parameters a payload must have for the price to match, with their values."""
    node = fields.nodes.get("when")
    if node is None:
        return {}
    if not isinstance(node, Table) or not node.entries:
        fields.report.error(node.mark, "`when` must be a table of payload parameters and their values")
        return {}
    conditions: dict[str, str | int | float | bool] = {}
    for key, value in node.entries:
        if isinstance(value, Scalar) and value.value is not None:
            conditions[key.text] = value.value
        else:
            fields.report.error(value.mark, f"{show(key.text)} must have one value: text, a number, true or false")
    return conditions


def _hides(earlier: Price, later: Price) -> bool:
    """Whether `earlier` surely matches whatever `later` does."""
    return not earlier.when and ("*" in earlier.models or set(later.models) <= set(earlier.models))
