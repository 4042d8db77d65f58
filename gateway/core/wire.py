"""Clients' bytes read strictly, so that no other parser can read them as something else.

What is sent on is the client's bytes, not our reading of them. So everything two parsers may disagree on is refused:
names that stand twice, fields in another case, numbers that are none, text that is not UTF-8. Parameters in another
case are looked at where a rule or a price depends on them: `gateway.core.payload.check_spelling`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NoReturn

from gateway.core.digests import digest_payload
from gateway.core.errors import Code, Refusal
from gateway.core.long_texts import LONG, PLACEHOLDER, Abridged, abridge

MOST_DEPTH = 64
MOST_VALUES = 20_000
"""Commas, opening brackets and braces a body may hold: counted before it is parsed, also in texts that are not long."""

MOST_DIGITS = 64
"""Digits an integer may have, its sign among them: the time to read one grows with their square."""

LONGEST_NAME = 1024
"""Characters that a name in an object may have."""

_LONGEST_SHOWN = 64
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Payload(dict[str, Any]):
    """A model's parameters. `spellings` are their names by what they fold to.

    Every rule and price looks for names in another spelling, so names are folded once, with the payload.
    """

    __slots__ = ("spellings",)

    spellings: Mapping[str, list[str]]

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        spellings: dict[str, list[str]] = {}
        for name in parameters:
            spellings.setdefault(fold_name(name), []).append(name)
        self.spellings = spellings


def fold_name(name: str) -> str:
    """The name without case, `_` and `-`: JSON decoders exist that ignore each of them."""
    return name.casefold().replace("_", "").replace("-", "")


@dataclass(frozen=True, slots=True)
class Draft:
    """A create as the client wrote it: well-formed, not yet admitted. `body` is what would be sent on.

    The digest and the payload's spellings are worked out with it, because where a body is large that is done off the
    loop. `payload_digest` tells payloads that mean the same.
    """

    model: str
    payload: Payload = field(repr=False)
    body: bytes = field(repr=False)
    payload_digest: bytes = field(repr=False)

    def forget_payload(self) -> None:
        """Let go of what has been judged: while upstream works, its texts would be the body once more in memory."""
        self.payload.clear()


def draft_of(model: str, payload: Mapping[str, Any], body: bytes) -> Draft:
    """The draft with its digest (SHA-256)."""
    return Draft(model, Payload(payload), body, digest_payload(payload))


def parse_create(body: bytes) -> Draft:
    """The draft in the body of `POST …/requests`: an object of exactly `model` and `payload`.

    Raises Refusal 400 `invalid_request` that names what is wrong; values are never shown, they may be prompts.
    """
    return _draft(_parse(body), body)


def skim_create(body: bytes) -> Draft | None:
    """The draft in a body that holds little besides long texts, which are read apart from it, and faster.

    None where that does not do, also for what will be refused: then the body has to be read whole.
    """
    abridged = abridge(body)
    if abridged is None or len(abridged.rest) > LONG:
        return None
    with suppress(Refusal):
        return _draft(_read_abridged(abridged), body)
    return None


def _draft(value: Any, body: bytes) -> Draft:
    members = _check_object(value, ("model", "payload"))
    model, payload = members["model"], members["payload"]
    if not isinstance(model, str):
        raise _invalid("`model` must be a string: the id of a model from GET …/models.")
    if not isinstance(payload, dict):
        raise _invalid("`payload` must be an object: the model's parameters.")
    return draft_of(model, payload, body)


def compose_create(model: str, payload: str) -> Draft:
    """The draft of a create for which somebody gives the payload alone, as text.

    It goes in as it stands, so that it is read as strictly as any body; what is no JSON is told by its own lines.
    Raises Refusal 400.
    """
    _check_payload(payload)
    return parse_create(f'{{"payload":{payload},"model":{json.dumps(model)}}}'.encode("utf-8", "surrogatepass"))


def _check_payload(text: str) -> None:
    """What only Python takes for JSON is left to the stricter reading of the whole body."""
    if not text.strip():
        raise _invalid("The payload is empty; write {} for one without parameters.")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _invalid(f"The payload is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and value.keys() == {"model", "payload"}:
        raise _invalid("This is a whole create; give the object under its `payload` alone.")


def parse_upload(body: bytes) -> str:
    """The `file_type` in the body of `POST …/upload-url`, an object of exactly that. Raises Refusal 400."""
    file_type = _check_object(_parse(body), ("file_type",))["file_type"]
    if not isinstance(file_type, str):
        raise _invalid("`file_type` must be a string such as `png`.")
    return file_type


def _check_object(members: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The members of the object that a body must be: these names, each once, and no others."""
    if not isinstance(members, dict):
        raise _invalid(f"The body must be a JSON object with {_listed(names)}.")
    for name in members:
        if name not in names:
            raise _invalid(_unknown(name, names))
    for name in names:
        if name not in members:
            raise _invalid(f"`{name}` is missing; the body must have exactly {_listed(names)}.")
    return members


def _unknown(name: str, names: tuple[str, ...]) -> str:
    near = next((known for known in names if known.casefold() == name.casefold()), None)
    if near is not None:
        return f"`{shown(name)}` must be written `{near}`."
    return f"`{shown(name)}` is not a field of this request; send exactly {_listed(names)}."


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def shown(name: str) -> str:
    """A parameter's name as an error may show it: short, on one line."""
    printable = "".join(character if character.isprintable() else "?" for character in name[:_LONGEST_SHOWN])
    return printable + "…" if len(name) > _LONGEST_SHOWN else printable


def _parse(body: bytes) -> Any:
    """The JSON value that the body is (RFC 8259, and RFC 7493 where that is stricter)."""
    return _read(body, _DECODER, _count_openings(body))


def _count_openings(body: bytes) -> int:
    """The brackets and braces that open in the body. Refusal where they or its commas are too many."""
    openings = _count(body, b"[") + _count(body, b"{")
    if openings > MOST_VALUES or _count(body, b",") > MOST_VALUES:
        raise _invalid(f"The body holds more than {MOST_VALUES} values; send less at once.")
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

    def next_text(name: str) -> str:
        if name != PLACEHOLDER:
            _constant(name)
        try:
            return str(next(left), "utf-8")
        except UnicodeDecodeError:
            raise _invalid("The body must be UTF-8.") from None

    value = _read(abridged.rest, _decoder(next_text), _count_openings(abridged.rest))
    if next(left, None) is not None:
        raise _invalid("The body holds what only looks like a text.")
    return value


def _read(body: bytes, decoder: json.JSONDecoder, openings: int) -> Any:
    """The value by this decoder. `openings` are the brackets and braces that open, those in texts among them."""
    try:
        value = decoder.decode(body.decode())
    except UnicodeDecodeError:
        raise _invalid("The body must be UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise _invalid(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    if openings > MOST_DEPTH and _is_deeper(value, MOST_DEPTH):
        raise _too_deep()
    if _ESCAPED_SURROGATE.search(body):
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
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _invalid(r"The body holds half of a surrogate pair (`\ud800` to `\udfff`), which is no text.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _invalid(f"`{shown(name)}` stands twice in one object.")
        if len(name) > LONGEST_NAME:
            raise _invalid(f"`{shown(name)}` is a name of more than {LONGEST_NAME} characters; shorten it.")
        members[name] = value
    return members


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _invalid(f"The body holds an integer of more than {MOST_DIGITS} digits.")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _invalid("The body holds a number that is too large.")
    return number


def _constant(text: str) -> NoReturn:
    raise _invalid(f"The body is not JSON: {text} is not a number.")


def _decoder(read_constant: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=read_constant
    )


_DECODER = _decoder(_constant)


def _too_deep() -> Refusal:
    return _invalid(f"Arrays and objects stand in one another more than {MOST_DEPTH} levels deep.")


def _invalid(message: str) -> Refusal:
    return Refusal(Code.INVALID_REQUEST, message)
