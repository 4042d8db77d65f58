"""A create's payload against the team's rules and the model's own parameters.

A parameter that is null counts as not given, as it does upstream. Numbers compare by value: "8", 8 and 8.0 are one
number, and true is none. Error bodies name parameter and rule; a payload's texts are never shown, they may be prompts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import isfinite
from typing import Any
from unicodedata import normalize

from gateway.core.access import matches
from gateway.core.detail import ModelDetail, Parameter
from gateway.core.errors import Code, Refusal
from gateway.core.policy import ParameterRule, Team
from gateway.core.strict_json import shown
from gateway.core.wire import Payload, fold_name

_LONGEST_NUMBER = 40
_LARGEST_SHOWN = 2**53
"""Beyond it not every JSON reader keeps a number exact (RFC 8259 §6)."""

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def number_of(value: Any) -> Fraction | None:
    """The exact number that a JSON value is, or None.

    A text counts if it is a plain decimal: GMI's models take "8" as well as 8. A leading zero does not: `010` is ten to
    some parsers and eight to others.
    """
    if isinstance(value, str):
        plain = len(value) <= _LONGEST_NUMBER and _DECIMAL.fullmatch(value)
        return Fraction(value) if plain else None
    if isinstance(value, float):
        return Fraction(repr(value)) if isfinite(value) else None
    return Fraction(value) if isinstance(value, int) and not isinstance(value, bool) else None


def same_value(one: Any, other: Any) -> bool:
    """Whether two plain JSON values are the same: numbers by value, everything else exactly."""
    number = number_of(one)
    if number is not None:
        return number == number_of(other)
    return type(one) is type(other) and bool(one == other)


def rules_for(team: Team, model: str) -> tuple[ParameterRule, ...]:
    """Every parameter rule of the team that holds for the model."""
    return tuple(rule for each in team.payload if matches(each.models, model) for rule in each.parameters)


def check_spelling(payload: Payload, names: Iterable[str]) -> None:
    """Refuse a parameter that is one of `names` in other spelling: upstream's parser may take it for that one.

    Case and `_` and `-` do not tell names apart here; JSON decoders exist that ignore each of them.
    """
    exact = dict.fromkeys(names)
    for meant in exact:
        for name in payload.spellings.get(fold_name(meant), ()):
            if name not in exact:
                raise rejected(name, "spelling", f"`{shown(name)}` must be written `{meant}`.")


def check_rule(payload: Mapping[str, Any], rule: ParameterRule) -> None:
    """Refuse a payload that breaks the rule: 400 `payload_rejected`, naming parameter, rule and (if harmless) value."""
    name, value = rule.name, payload.get(rule.name)
    if value is None:
        if rule.required:
            raise rejected(name, "required", f"`{name}` is required by your team's policy.")
        return
    if rule.forbidden:
        raise rejected(name, "forbidden", f"`{name}` is forbidden by your team's policy; leave it out.")
    if rule.one_of and not any(same_value(value, allowed) for allowed in rule.one_of):
        allowed = ", ".join(_literal(each) for each in rule.one_of)
        raise rejected(name, "one_of", f"`{name}` must be one of {allowed}.", value)
    _check_size(rule, value)
    _check_length(rule, value)


def _check_size(rule: ParameterRule, value: Any) -> None:
    if rule.minimum is None and rule.maximum is None:
        return
    number = number_of(value)
    if rule.minimum is not None and (number is None or number < _exactly(rule.minimum)):
        raise rejected(rule.name, "min", f"`{rule.name}` must be a number of at least {rule.minimum}.", value)
    if rule.maximum is not None and (number is None or number > _exactly(rule.maximum)):
        raise rejected(rule.name, "max", f"`{rule.name}` must be a number of at most {rule.maximum}.", value)


def _exactly(number: float) -> Fraction:
    """A number from the policy by its shortest decimal form, as it was written."""
    return Fraction(repr(number))


def _check_length(rule: ParameterRule, value: Any) -> None:
    """Texts are measured in characters, arrays in items; anything else has no length and is refused."""
    if rule.min_length is None and rule.max_length is None:
        return
    length = len(value) if isinstance(value, str | list) else None
    if rule.min_length is not None and (length is None or length < rule.min_length):
        raise rejected(rule.name, "min_length", _wanted_length(rule.name, value, f"at least {rule.min_length}"))
    if rule.max_length is not None and (length is None or length > rule.max_length):
        raise rejected(rule.name, "max_length", _wanted_length(rule.name, value, f"at most {rule.max_length}"))


def _wanted_length(name: str, value: Any, bound: str) -> str:
    if isinstance(value, list):
        return f"`{name}` must be a list of {bound} items."
    return f"`{name}` must be text of {bound} characters."


def check_required(payload: Payload, detail: ModelDetail | None) -> None:
    """Refuse a payload without a parameter that the model's detail requires and has no default for."""
    for parameter in detail.parameters if detail is not None else ():
        if parameter.required and parameter.default is None and not payload.gives(parameter.name):
            message = f"`{parameter.name}` is missing: the model requires it."
            raise rejected(parameter.name, "required", message)


def check_declared(value: Any, parameter: Parameter) -> None:
    """Refuse a value outside of the options or the range that the model's detail declares.

    Asked of what is counted or priced: upstream may make another value of it, and bill that one.
    """
    low, high = parameter.minimum, parameter.maximum
    rule = ParameterRule(parameter.name, one_of=parameter.options, minimum=low, maximum=high)
    check_rule({parameter.name: value}, rule)


def check_condition(name: str, value: Any, wanted: Sequence[Any]) -> None:
    """Refuse a value that is no single one, or that upstream may take for one of `wanted` although it is written else.

    Texts are told apart by their letters and digits alone, in whatever case and width. Beside a number that is every
    text with a digit in it that is no plain number, and beside a truth value all that is none.
    """
    if isinstance(value, dict | list):
        raise rejected(name, "price", f"`{name}` must be a single value: the price depends on it.")
    if any(same_value(value, each) for each in wanted):
        return
    number = number_of(value)
    alike = next((each for each in wanted if number is None and _folded(value) == _folded(each)), None)
    if alike is not None:
        raise rejected(name, "spelling", f"`{name}` must be written `{_literal(alike)}`: the price depends on it.")
    if not isinstance(value, bool) and any(isinstance(each, bool) for each in wanted):
        raise rejected(name, "spelling", f"`{name}` must be `true` or `false`: the price depends on it.")
    may_be_number = isinstance(value, bool) or any(sign.isdigit() for sign in str(value))
    if number is None and may_be_number and any(number_of(each) is not None for each in wanted):
        raise rejected(name, "spelling", f"`{name}` must be a plain number: the price depends on it.")


def _folded(value: str | float | None) -> str:
    return "".join(sign for sign in normalize("NFKC", _literal(value)).casefold() if sign.isalnum())


def rejected(parameter: str, rule: str, message: str, value: Any = None) -> Refusal:
    """400 `payload_rejected` with its siblings; the value only if it is a number, a truth value or a plain word."""
    siblings: dict[str, object] = {"parameter": shown(parameter), "rule": rule}
    plain = isinstance(value, int | float) and abs(value) <= _LARGEST_SHOWN
    if plain or (isinstance(value, str) and _WORD.fullmatch(value)):
        siblings["value"] = value
    return Refusal(Code.PAYLOAD_REJECTED, message, siblings=siblings)


def _literal(value: str | float | None) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
