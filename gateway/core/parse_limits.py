"""Limits and their overrides: `200 jobs per day`, `5 jobs at once`, `500 USD per month`."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.core.money import parse_usd
from gateway.core.nodes import Mark, Node, Report, Scalar, one_of, show, suggest
from gateway.core.parse_fields import Fields, check_name, read_fields
from gateway.core.policy import Limit, Mode, Override, Period, Unit

LARGEST_COUNT = 10**12
"""The largest count a limit may have: sums stay far inside 64 bits."""

LIMIT_FIELDS = ("limit", "models", "per", "mode", "warn", "name")
OVERRIDE_FIELDS = ("limit", "until", "reason", "models", "per", "name")

_FORM = re.compile(r"(\S+) (\S+) (?:per (\S+)|at once)")
_HOW = "write `<number> <unit> per <period>`, such as `200 jobs per day`, or `<number> jobs at once`"
_PERIODS = tuple(period for period in Period if period is not Period.AT_ONCE)
_UNITS = {unit.value: unit for unit in Unit} | {unit.value.removesuffix("s"): unit for unit in Unit}
_LONGEST_AMOUNT = 24  # digits: beyond it Decimal would round
_WARN = re.compile(r"([1-9][0-9]?|100)%")
_MODEL_UNITS = (Unit.JOBS, Unit.SECONDS, Unit.USD)

InstantReader = Callable[[Fields, str], float | None]
Kind = tuple[Unit, Period, tuple[str, ...], bool]


@dataclass(frozen=True, slots=True)
class PlacedLimit:
    """A limit and where it stands; `model_marks` are the places of its patterns. Inherited ones are the defaults'."""

    limit: Limit
    mark: Mark
    model_marks: Mapping[str, Mark] = field(default_factory=dict)
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class PlacedOverride:
    """An override, what it is an override of, and where it stands."""

    kind: Kind
    name: str | None
    override: Override
    mark: Mark


def kind_of(limit: Limit) -> Kind:
    """What a limit counts, for whom: limits of one kind share their counters."""
    return limit.unit, limit.period, tuple(sorted(limit.models)), limit.per_key


def default_name(limit: Limit) -> str:
    """The name of a limit without one: `jobs-day`, `jobs-at-once`, `jobs-day-Veo3`, `jobs-day-per-key`."""
    parts = [limit.unit.lower(), limit.period.replace(" ", "-"), *limit.models]
    text = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(parts)).strip("-")
    return f"{text}-per-key" if limit.per_key else text


def read_limits(items: Iterable[Node], report: Report) -> tuple[PlacedLimit, ...]:
    """The limits of a list, each with its name; two of one name are reported."""
    by_name: dict[str, PlacedLimit] = {}
    for item in items:
        placed = read_limit(item, report)
        if placed is None:
            continue
        earlier = by_name.setdefault(placed.limit.name, placed)
        if earlier is not placed:
            problem = (
                f"a second limit is called `{placed.limit.name}`, after the one at {earlier.mark}: give it a `name`"
            )
            report.error(placed.mark, problem)
    return tuple(by_name.values())


def read_limit(node: Node, report: Report) -> PlacedLimit | None:
    """One limit, as text or as a table, or None (reported)."""
    if isinstance(node, Scalar):
        limit = parse_limit(node, report)
        return None if limit is None else PlacedLimit(replace(limit, name=default_name(limit)), node.mark)
    fields = read_fields(node, LIMIT_FIELDS, "a limit that is not text", report)
    if fields is None:
        return None
    limit = _read_kind(fields) if fields.require("limit") else None
    warn = _percentages(fields)
    mode, given = fields.choice("mode", Mode, Mode.ENFORCE), fields.name("name")
    if limit is None:
        return None
    limit = replace(limit, mode=mode, warn=warn)
    name = given or default_name(limit)
    if not check_name(name, fields.mark, report):
        return None
    marks = {item.text: item.mark for item in fields.texts("models")}
    return PlacedLimit(replace(limit, name=name), node.mark, marks)


def read_overrides(items: Sequence[Node], until: InstantReader, report: Report) -> tuple[PlacedOverride, ...]:
    """The overrides of a list. `until` reads an instant in the team's time zone."""
    overrides = []
    for item in items:
        fields = read_fields(item, OVERRIDE_FIELDS, "an override", report)
        if fields is None:
            continue
        fields.require("limit", "until", "reason")
        limit = _read_kind(fields) if fields.has("limit") else None
        ends, reason = until(fields, "until"), fields.text("reason")
        if limit is None or ends is None or reason is None:
            continue
        override = Override(limit.amount, ends, reason)
        overrides.append(PlacedOverride(kind_of(limit), fields.name("name"), override, item.mark))
    return tuple(overrides)


def apply_overrides(
    limits: Sequence[PlacedLimit], overrides: Iterable[PlacedOverride], report: Report
) -> tuple[PlacedLimit, ...]:
    """The limits with their overrides, first ending first. What matches no limit, or several, is reported."""
    found: dict[str, list[Override]] = {placed.limit.name: [] for placed in limits}
    for placed in overrides:
        name = _target(placed, [each.limit for each in limits], report)
        if name is None:
            continue
        if any(other.until == placed.override.until for other in found[name]):
            report.error(placed.mark, f"two overrides of `{name}` end at the same instant: keep one")
        found[name].append(placed.override)
    return tuple(
        replace(placed, limit=replace(placed.limit, overrides=_by_end(found[placed.limit.name]))) for placed in limits
    )


def parse_limit(node: Scalar, report: Report) -> Limit | None:
    """What one limit's text says, without a name, or None (reported)."""
    match = _FORM.fullmatch(" ".join(node.text.split()))
    if match is None:
        report.error(node.mark, f"{show(node.text)} is not a limit: {_HOW}")
        return None
    number, unit_text, period_text = match.groups()
    unit, period = _UNITS.get(unit_text), Period.AT_ONCE
    if unit is None:
        report.error(node.mark, f"unknown unit {show(unit_text)}: use {one_of(Unit)}{suggest(unit_text, Unit)}")
        return None
    if period_text is not None:
        if period_text not in _PERIODS:
            problem = f"unknown period {show(period_text)}: use {one_of(_PERIODS)}{suggest(period_text, _PERIODS)}"
            report.error(node.mark, problem)
            return None
        period = Period(period_text)
    elif unit is not Unit.JOBS:
        report.error(node.mark, f"only jobs can be limited at once: write `{number} {unit} per <period>`")
        return None
    try:
        return Limit("", parse_amount(number, unit), unit, period)
    except ValueError as error:
        report.error(node.mark, str(error))
        return None


def parse_amount(text: str, unit: Unit) -> int:
    """The number of a limit: micro-USD for USD, else a count. Raises ValueError with a sentence."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"{show(text)} is not an amount: write plain digits, such as `1200`, not less than 0")
    if len(text) > _LONGEST_AMOUNT:
        raise ValueError(f"{show(text)} is more than a limit may be")
    if unit is Unit.USD:
        return parse_usd(text)
    if "." in text:
        raise ValueError(f"{show(text)} must be a whole number: only USD has decimals")
    if int(text) > LARGEST_COUNT:
        raise ValueError(f"{show(text)} is more than the {LARGEST_COUNT} a limit may be")
    return int(text)


def _read_kind(fields: Fields) -> Limit | None:
    """The limit in a table's `limit`, `models` and `per`, or None (reported)."""
    node = fields.nodes["limit"]
    if not isinstance(node, Scalar):
        fields.report.error(node.mark, f"`limit` must be text: {_HOW}")
        return None
    limit = parse_limit(node, fields.report)
    if limit is None:
        return None
    models = fields.globs("models")
    if models and limit.unit not in _MODEL_UNITS:
        fields.report.error(fields.place("models"), f"`models` cannot narrow {limit.unit}: they are not per model")
    if fields.text("per") not in (None, "key"):
        fields.report.error(fields.place("per"), "`per` must be `key`, or be left out for the team as a whole")
    return replace(limit, models=models, per_key=fields.has("per"))


def _percentages(fields: Fields) -> tuple[int, ...]:
    """What `warn` lists, ascending. A bare number lacks its sign, not the quotes that other texts are told to take."""
    bare = [item for item in fields.items("warn") if isinstance(item, Scalar) and isinstance(item.value, int | float)]
    items = bare or fields.texts("warn")
    return tuple(sorted(int(item.text[:-1]) for item in items if _is_percent(item, fields.report)))


def _is_percent(item: Scalar, report: Report) -> bool:
    if _WARN.fullmatch(item.text):
        return True
    meant = f"{item.text}%"
    hint = f": write `{meant}`" if _WARN.fullmatch(meant) else ""
    report.error(item.mark, f"{show(item.text)} is not a percentage from `1%` to `100%`{hint}")
    return False


def _target(placed: PlacedOverride, limits: Sequence[Limit], report: Report) -> str | None:
    """The name of the one limit the override is meant for, or None (reported)."""
    alike = [limit.name for limit in limits if kind_of(limit) == placed.kind]
    if placed.name is not None:
        if placed.name in alike:
            return placed.name
        names = [limit.name for limit in limits]
        wrong = "is of another kind" if placed.name in names else f"does not exist{suggest(placed.name, names)}"
        report.error(placed.mark, f"this override is for the limit `{placed.name}`, which {wrong}")
        return None
    if len(alike) == 1:
        return alike[0]
    if alike:
        report.error(placed.mark, f"this override fits several limits: add `name`, one of {one_of(alike)}")
    else:
        report.error(
            placed.mark, "this override fits no limit: its unit, period, `models` and `per` must be the limit's"
        )
    return None


def _by_end(overrides: Iterable[Override]) -> tuple[Override, ...]:
    return tuple(sorted(overrides, key=lambda override: override.until))
