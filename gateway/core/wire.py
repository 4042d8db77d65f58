"""What clients send, from its bytes: creates and uploads.

What is sent on is the client's bytes, not our reading of them. So everything two parsers may disagree on is refused:
what `gateway.core.strict_json` names, and fields in another case. Parameters in another case are looked at where a rule
or a price depends on them: `gateway.core.payload.check_spelling`.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.core.digests import digest_payload
from gateway.core.errors import Refusal
from gateway.core.long_texts import LongText
from gateway.core.strict_json import invalid, read_json, shown, skim_json


class Payload(dict[str, Any]):
    """A model's parameters. `spellings` are their names by what they fold to.

    Every rule and price looks for names in another spelling, so names are folded once, with the payload. A `LongText`
    becomes a text when it is asked for by name, which rules and prices do: mostly nothing is judged in a file.
    """

    __slots__ = ("spellings",)

    spellings: Mapping[str, list[str]]

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        spellings: dict[str, list[str]] = {}
        for name in parameters:
            spellings.setdefault(fold_name(name), []).append(name)
        self.spellings = spellings

    def gives(self, name: str) -> bool:
        """Whether the parameter has a value, whatever it is."""
        return super().get(name) is not None

    def get(self, name: str, default: Any = None) -> Any:
        """The parameter's value."""
        value = super().get(name, default)
        if isinstance(value, LongText):
            value = self[name] = str(value)
        return value


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
    return _draft(read_json(body), body)


def skim_create(body: bytes) -> Draft | None:
    """The draft in a body that holds little besides long texts, which are read apart from it, and faster.

    None where that does not do, also for what will be refused: then the body has to be read whole.
    """
    with suppress(Refusal):
        return _draft(skim_json(body), body)
    return None


def _draft(value: Any, body: bytes) -> Draft:
    members = _check_object(value, ("model", "payload"))
    model, payload = members["model"], members["payload"]
    if not isinstance(model, str):
        raise invalid("`model` must be a string: the id of a model from GET …/models.")
    if not isinstance(payload, dict):
        raise invalid("`payload` must be an object: the model's parameters.")
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
        raise invalid("The payload is empty; write {} for one without parameters.")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise invalid(f"The payload is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and value.keys() == {"model", "payload"}:
        raise invalid("This is a whole create; give the object under its `payload` alone.")


def parse_upload(body: bytes) -> str:
    """The `file_type` in the body of `POST …/upload-url`, an object of exactly that. Raises Refusal 400."""
    file_type = _check_object(read_json(body), ("file_type",))["file_type"]
    if not isinstance(file_type, str):
        raise invalid("`file_type` must be a string such as `png`.")
    return file_type


def _check_object(members: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The members of the object that a body must be: these names, each once, and no others."""
    if not isinstance(members, dict):
        raise invalid(f"The body must be a JSON object with {_listed(names)}.")
    for name in members:
        if name not in names:
            raise invalid(_unknown(name, names))
    for name in names:
        if name not in members:
            raise invalid(f"`{name}` is missing; the body must have exactly {_listed(names)}.")
    return members


def _unknown(name: str, names: tuple[str, ...]) -> str:
    near = next((known for known in names if known.casefold() == name.casefold()), None)
    if near is not None:
        return f"`{shown(name)}` must be written `{near}`."
    return f"`{shown(name)}` is not a field of this request; send exactly {_listed(names)}."


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
