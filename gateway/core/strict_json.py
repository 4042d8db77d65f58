"""JSON read strictly, so that no other parser can read it as something else (RFC 8259, and RFC 7493).

Refused is what two parsers may disagree on: names that stand twice, numbers that are none or too long, text that is not
UTF-8, half of a surrogate pair. And what would take long to read: too many values, too deep.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any, NoReturn

from gateway.core.errors import Code, Refusal
from gateway.core.long_texts import LONG, PLACEHOLDER, Abridged, LongText, abridge

MOST_DEPTH = 64
MOST_VALUES = 20_000
"""Commas, opening brackets and braces a body may hold: counted before it is parsed, also in texts that are not long."""

MOST_DIGITS = 64
"""Digits an integer may have, its sign among them: the time to read one grows with their square."""

LONGEST_NAME = 1024
"""Characters that a name in an object may have."""

_LONGEST_SHOWN = 64


def read_json(body: bytes) -> Any:
    """The value that the body is (RFC 8259, and RFC 7493 where that is stricter).

    Raises Refusal 400 `invalid_request` that names what is wrong; values are never shown, they may be prompts.
    """
    return _read(body, _DECODER, _count_openings(body))


def skim_json(body: bytes) -> Any:
    """The same of a body that holds little besides long texts, which are read apart from it, and faster.

    Where the body is ASCII they are `LongText`. Refusal also where skimming does not do: then it has to be read whole.
    """
    abridged = abridge(body)
    if abridged is None or len(abridged.rest) > LONG:
        raise invalid("The body holds more than long texts.")
    return _read_abridged(abridged)


def shown(name: str) -> str:
    """A parameter's name as an error may show it: short, on one line."""
    printable = "".join(character if character.isprintable() else "?" for character in name[:_LONGEST_SHOWN])
    return printable + "…" if len(name) > _LONGEST_SHOWN else printable


def invalid(message: str) -> Refusal:
    """400 `invalid_request`."""
    return Refusal(Code.INVALID_REQUEST, message)


def _count_openings(body: bytes) -> int:
    """The brackets and braces that open in the body. Refusal where they or its commas are too many."""
    openings = _count(body, b"[") + _count(body, b"{")
    if openings > MOST_VALUES or _count(body, b",") > MOST_VALUES:
        raise invalid(f"The body holds more than {MOST_VALUES} values; send less at once.")
    return openings


def _count(body: bytes, sign: bytes) -> int:
    """How often the byte stands in the body; of too many it is enough to know that.

    In a long body it is rare, and to look for the next one takes a thirtieth of the time of counting.
    """
    if len(body) <= LONG:
        return body.count(sign)
    count, at = 0, body.find(sign)
    while at >= 0 and count <= MOST_VALUES:
        count += 1
        at = body.find(sign, at + 1)
    return count


def _read_abridged(abridged: Abridged) -> Any:
    """The value, its long texts put in. Refusal also where they were no texts: then the body has to be read whole."""
    left = iter(abridged.texts)

    def next_text(name: str) -> str | LongText:
        if name != PLACEHOLDER:
            _constant(name)
        text = next(left)
        if abridged.is_ascii:
            return LongText(text)
        try:
            return str(text, "utf-8")
        except UnicodeDecodeError:
            raise invalid("The body must be UTF-8.") from None

    value = _read(abridged.rest, _decoder(next_text), _count_openings(abridged.rest))
    if next(left, None) is not None:
        raise invalid("The body holds what only looks like a text.")
    return value


def _read(body: bytes, decoder: json.JSONDecoder, openings: int) -> Any:
    """The value by this decoder. `openings` are the brackets and braces that open, those in texts among them."""
    try:
        value = decoder.decode(body.decode())
    except UnicodeDecodeError:
        raise invalid("The body must be UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise invalid(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if openings > MOST_DEPTH and _is_deeper(value, MOST_DEPTH):
        raise _too_deep()
    if b"\\u" in body:
        _check_texts(value)
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether arrays and objects stand in one another more than `depth` levels deep."""
    level = [value]
    for _ in range(depth):
        level = [member for container in level for member in _members(container)]
    return any(isinstance(value, dict | list) for value in level)


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_texts(value: Any) -> None:
    """Refuse half of a surrogate pair, which is no character and which every parser treats in its own way."""
    for text in _texts(value):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise invalid(
                r"The body holds half of a surrogate pair (`\ud800` to `\udfff`), which is no text."
            ) from None


def _texts(value: Any) -> Iterator[str]:
    """Its texts, names among them, that are more than ASCII."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            if not part.isascii():
                yield part
        elif isinstance(part, dict):
            left += part
            left += part.values()
        elif isinstance(part, list):
            left += part


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise invalid(f"`{shown(name)}` stands twice in one object.")
        if len(name) > LONGEST_NAME:
            raise invalid(f"`{shown(name)}` is a name of more than {LONGEST_NAME} characters; shorten it.")
        members[name] = value
    return members


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise invalid(f"The body holds an integer of more than {MOST_DIGITS} digits.")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise invalid("The body holds a number that is too large.")
    return number


def _constant(text: str) -> NoReturn:
    raise invalid(f"The body is not JSON: {text} is not a number.")


def _decoder(read_constant: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=read_constant
    )


_DECODER = _decoder(_constant)


def _too_deep() -> Refusal:
    return invalid(f"Arrays and objects stand in one another more than {MOST_DEPTH} levels deep.")
