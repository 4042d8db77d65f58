"""Upstream's JSON made ours, reading only what is needed and keeping what is passed on as it was sent."""

import re
from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from gateway.core.detail import ModelDetail, Parameter, PriceInfo
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.request import valid_request_id

LARGEST_WHOLE_RECORD = 256 * 1024
"""Bytes up to which a record is kept as it came."""

_LONGEST_STATUS = 64
_LONGEST_KEPT_TEXT = 2048
_UNDATED = float("inf")
_HIGHEST_PRICE = 10**12

_DEEPEST = 128
"""Levels of a list's page that are read where all of them cannot be. What this gateway creates has half as many."""

_MOST_TOKENS = 200_000
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]+|[\]}]+', re.DOTALL)
"""A text, or brackets in a row."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Half of a pair. Upstream may cut a text between the two, as JSON's grammar allows (RFC 8259 §8.2)."""

_REPLACEMENT = rb"\\ufffd"

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")


class RecordHead(msgspec.Struct, frozen=True):
    """What every record says, short or full: which request, and where it stands."""

    request_id: str
    status: str
    outcome: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_full(self) -> bool:
        """Whether the record says what came of the job, which the short one in an answer to a create does not."""
        return self.outcome is not msgspec.UNSET


class ListedRecord(msgspec.Struct, frozen=True):
    """One record of upstream's list. `payload` is the request's, where upstream echoes it; `body` the record's bytes.

    A record that cannot be read has an empty id and model and an infinite `created_at`: it matches nothing and does
    not look like the end of the list.
    """

    request_id: str
    model: str
    created_at: float
    payload: dict[str, Any]
    body: bytes


class ListedPage(NamedTuple):
    """One page of upstream's list, in its order. `has_more` unless upstream says that it was the last."""

    records: list[ListedRecord]
    has_more: bool


class _ListedFields(msgspec.Struct):
    request_id: str
    model: str
    created_at: float
    payload: dict[str, Any] | None = None


_NULL = msgspec.Raw(b"null")


class RefusedRequest(msgspec.Struct, frozen=True):
    """The job that upstream keeps of a create it refused, and why it did, in its own JSON."""

    request_id: str
    error: msgspec.Raw = _NULL


class _ParameterFields(msgspec.Struct):
    name: str
    type: msgspec.Raw = _NULL
    required: msgspec.Raw = _NULL
    default_value: msgspec.Raw = _NULL
    options: msgspec.Raw = _NULL
    min_value: msgspec.Raw = _NULL
    max_value: msgspec.Raw = _NULL


class _PriceFields(msgspec.Struct):
    price: Annotated[int, msgspec.Meta(ge=0, le=_HIGHEST_PRICE)]
    unit: str


_encode = msgspec.json.encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_strings = msgspec.json.Decoder(list[str])
_head = msgspec.json.Decoder(RecordHead)


def model_ids(body: bytes) -> tuple[str, ...]:
    """The ids of a models listing, in its order. Raises UpstreamFailure if it is none."""
    return _listing(body)[1]


def filter_models(body: bytes, keep: Callable[[str], bool]) -> bytes:
    """The listing with only the ids to keep. Their order, the other fields and the order of keys stay."""
    fields, ids = _listing(body)
    fields["model_ids"] = msgspec.Raw(_encode([model for model in ids if keep(model)]))
    return _encode(fields)


def _listing(body: bytes) -> tuple[dict[str, msgspec.Raw], tuple[str, ...]]:
    try:
        fields = _object.decode(body)
        return fields, tuple(_strings.decode(fields["model_ids"]))
    except (*_UNREADABLE, KeyError):
        raise UpstreamFailure.invalid("Upstream's answer is not a list of models") from None


def model_detail(body: bytes) -> ModelDetail | None:
    """What decisions need of a model's detail; None if it is no detail.

    What does not have GMI's shape is left out: an unknown price is refused later, not guessed.
    """
    fields = _read(body, dict[str, msgspec.Raw])
    model = _read(fields.get("model"), str) if fields is not None else None
    if fields is None or model is None:
        return None
    entries = _read(fields.get("parameters"), list[msgspec.Raw]) or []
    parameters = (_parameter(entry) for entry in entries)
    price = _read(fields.get("price_info"), _PriceFields)
    return ModelDetail(
        model,
        tuple(parameter for parameter in parameters if parameter is not None),
        PriceInfo(price.price, price.unit) if price is not None else None,
    )


def _parameter(entry: msgspec.Raw) -> Parameter | None:
    """A parameter by its name, with whatever else has GMI's shape: that it exists at all decides what a job is."""
    fields = _read(entry, _ParameterFields)
    if fields is None:
        return None
    default = _plain(fields.default_value)
    odd_default = default is None and _read(fields.default_value, object) is not None
    options = _read(fields.options, list[str | int | float | bool | None]) or []
    return Parameter(
        fields.name,
        _read(fields.type, str) or "string",
        required=_read(fields.required, bool) is True and not odd_default,
        default=default,
        options=tuple(option for option in options if option is not None),
        minimum=_number(fields.min_value),
        maximum=_number(fields.max_value),
    )


def _plain(text: msgspec.Raw) -> str | int | float | bool | None:
    value = _read(text, object)
    return value if isinstance(value, str | int | float | bool) else None


def _number(text: msgspec.Raw) -> int | float | None:
    value = _plain(text)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read(text: bytes | msgspec.Raw | None, kind: type[T]) -> T | None:
    """`text` as `kind`, or None if it is not."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except _UNREADABLE:
        return None


def record_head(body: bytes) -> RecordHead | None:
    """The head of a record; None if it has no usable request id or status."""
    try:
        head: RecordHead | None = _head.decode(body)
    except _UNREADABLE:
        head = _read(_without_surrogates(body), RecordHead)
    if head is None or not valid_request_id(head.request_id):
        return None
    return head if 0 < len(head.status) <= _LONGEST_STATUS else None


def _without_surrogates(body: bytes) -> bytes | None:
    """The JSON with U+FFFD for each half of a pair, which no reader takes alone; None if it holds none."""
    readable, count = _SURROGATE.subn(_REPLACEMENT, body)
    return readable if count else None


def outcome_in(body: bytes) -> Any:
    """What came of a job, by its full record; None if that does not say."""
    try:
        head = record_head(body)
        return None if head is None or head.outcome is msgspec.UNSET else msgspec.json.decode(head.outcome)
    except _UNREADABLE:
        return None


def refused_request(body: bytes) -> RefusedRequest | None:
    """The job that upstream keeps of a create it refused, where the error names one."""
    told = _read(body, RefusedRequest) or _read(_without_surrogates(body), RefusedRequest)
    return told if told is not None and valid_request_id(told.request_id) else None


def list_page(body: bytes) -> ListedPage | None:
    """One page of upstream's list; None if it is no such page.

    A record nested too deeply to be read hides no other: what stands too deep in the page becomes null.
    """
    try:
        fields = _read_page(body)
    except RecursionError:
        fields = _read(_cut_deep(body), dict[str, msgspec.Raw])
    entries = _read(fields.get("requests"), list[msgspec.Raw]) if fields is not None else None
    if fields is None or entries is None:
        return None
    return ListedPage([_listed(entry) for entry in entries], _read(fields.get("has_more"), bool) is not False)


def _read_page(body: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return _object.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read(_without_surrogates(body), dict[str, msgspec.Raw])


def _cut_deep(body: bytes) -> bytes:
    """The JSON with null for every array and object that stands deeper than is read."""
    kept: list[bytes] = []
    depth = copied = 0
    for token in islice(_TOKEN.finditer(body), _MOST_TOKENS):
        start, size = token.start(), token.end() - token.start()
        if body[start] in b"[{":
            if depth <= _DEEPEST < depth + size:
                kept.append(body[copied : start + _DEEPEST - depth])
            depth += size
        elif body[start] in b"]}":
            if depth - size <= _DEEPEST < depth:
                kept.append(b"null")
                copied = start + depth - _DEEPEST
            depth -= size
    return b"".join((*kept, body[copied:]))


def _listed(entry: msgspec.Raw) -> ListedRecord:
    body = bytes(entry)
    fields = _read(body, _ListedFields)
    if fields is None or not valid_request_id(fields.request_id):
        return ListedRecord("", "", _UNDATED, {}, body)
    return ListedRecord(fields.request_id, fields.model, fields.created_at, fields.payload or {}, body)


def slim_record(body: bytes, limit: int = LARGEST_WHOLE_RECORD) -> tuple[bytes, bool]:
    """A record to keep, and whether it is whole.

    One over `limit` bytes loses its payload and, in the rest, every text too long to be anything but inline data; if
    that is not enough, or it cannot be looked through, its outcome. What is no JSON object becomes an empty one.
    """
    if len(body) <= limit:
        return body, True
    fields = _read(body, dict[str, msgspec.Raw]) or _read(_without_surrogates(body), dict[str, msgspec.Raw])
    if fields is None:
        return b"{}", False
    fields.pop("payload", None)
    try:
        kept = _encode({name: _without_inline_data(msgspec.json.decode(value)) for name, value in fields.items()})
    except _UNREADABLE:
        kept = b""
    if not kept or len(kept) > limit:
        kept = _encode({name: value for name, value in fields.items() if bytes(value)[:1] not in (b"[", b"{")})
    return kept, False


def _without_inline_data(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_inline_data(inner) for name, inner in value.items() if not _is_inline_data(inner)}
    if isinstance(value, list):
        return [_without_inline_data(inner) for inner in value if not _is_inline_data(inner)]
    return value


def _is_inline_data(value: Any) -> bool:
    return isinstance(value, str) and len(value) > _LONGEST_KEPT_TEXT
