import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.wire import (
    LONGEST_NAME,
    MOST_VALUES,
    Payload,
    compose_create,
    parse_create,
    parse_upload,
    shown,
)
from tests.core.payloads import payloads
from tests.quickly import quickly


def create(payload: bytes) -> bytes:
    return b'{"model":"Veo3","payload":' + payload + b"}"


def refused(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse_create(body)
    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.status == 400
    return caught.value.message


def refused_at_once(body: bytes) -> str:
    """Why the body is refused, within 50 ms."""
    return quickly(lambda: refused(body), within=0.05)


FORMS: tuple[dict[str, Any], ...] = ({}, {"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")})


@given(payloads, st.sampled_from(FORMS))
def test_bo3_any_payload_is_read_as_it_is_and_its_bytes_kept(payload: dict[str, Any], form: dict[str, Any]) -> None:
    body = json.dumps({"payload": payload, "model": "Veo3"}, **form).encode()
    draft = parse_create(body)
    assert draft.model == "Veo3"
    assert draft.payload == payload
    assert draft.body is body


@given(st.binary(max_size=60))
def test_bo1_any_bytes_are_a_draft_or_a_refusal(body: bytes) -> None:
    try:
        draft = parse_create(body)
    except Refusal as refusal:
        status = refusal.status
    else:
        status = 400 if draft.body is not body else 200
    assert status in (200, 400)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not JSON: Expecting value at line 1, column 1."),
        (b"{", "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        (b"null", "The body must be a JSON object with `model` and `payload`."),
        (b"[]", "The body must be a JSON object with `model` and `payload`."),
        (b'"x"', "The body must be a JSON object with `model` and `payload`."),
        (b"7", "The body must be a JSON object with `model` and `payload`."),
        (create(b"{}") + b"x", "The body is not JSON: Extra data at line 1, column 30."),
        (create(b'{"a":NaN}'), "The body is not JSON: NaN is not a number."),
        (create(b'{"a":-Infinity}'), "The body is not JSON: -Infinity is not a number."),
        (create(b'{"a":1e999}'), "The body holds a number that is too large."),
        (create(b'{"a":-1e999}'), "The body holds a number that is too large."),
        (create(b'{"a":' + b"9" * 5000 + b"}"), "The body holds an integer of more than 64 digits."),
        (create(b'{"a":-' + b"9" * 65 + b"}"), "The body holds an integer of more than 64 digits."),
        (
            create(rb'{"a":"\ud800"}'),
            r"The body holds half of a surrogate pair (`\ud800` to `\udfff`), which is no text.",
        ),
        (
            create(rb'{"\uDFFF":1}'),
            r"The body holds half of a surrogate pair (`\ud800` to `\udfff`), which is no text.",
        ),
        (create(b'{"a":"\xff"}'), "The body must be UTF-8."),
        (create(b'{"a":"\xed\xa0\x80"}'), "The body must be UTF-8."),
        (create(b"{}").decode().encode("utf-16-le"), "The body is not JSON: Expecting property name enclosed in"),
        (create(b"{}").decode().encode("utf-16"), "The body must be UTF-8."),
        (b"\xef\xbb\xbf" + create(b"{}"), "The body is not JSON: Expecting value at line 1, column 1."),
        (create(b'{"a":"\n"}'), "The body is not JSON: Invalid control character at"),
    ],
)
def test_bo1_what_is_not_one_plain_json_object_is_refused(body: bytes, message: str) -> None:
    assert refused(body).startswith(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"model":"a","model":"b","payload":{}}', "`model` stands twice in one object."),
        (b'{"model":"a","mod\\u0065l":"b","payload":{}}', "`model` stands twice in one object."),
        (create(b'{"a":1,"b":2,"a":1}'), "`a` stands twice in one object."),
        (create(b'{"a":[{"b":{"c":1,"\\u0063":2}}]}'), "`c` stands twice in one object."),
        (b'{"model":"a","Model":"b","payload":{}}', "`Model` must be written `model`."),
        (b'{"model":"a","PAYLOAD":{},"payload":{}}', "`PAYLOAD` must be written `payload`."),
        (b'{"Model":"a","payload":{}}', "`Model` must be written `model`."),
    ],
)
def test_az5_bo2_a_name_stands_once_in_one_spelling(body: bytes, message: str) -> None:
    assert refused(body) == message


@pytest.mark.parametrize("name", ["org_id", "is_public", "api_base", "callback_url", "user", "priority"])
def test_az6_other_fields_are_refused_by_name(name: str) -> None:
    body = json.dumps({"model": "Veo3", "payload": {}, name: "secret value"}).encode()
    assert refused(body) == f"`{name}` is not a field of this request; send exactly `model` and `payload`."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "`model` is missing; the body must have exactly `model` and `payload`."),
        (b'{"model":"Veo3"}', "`payload` is missing; the body must have exactly `model` and `payload`."),
        (b'{"model":["Veo3"],"payload":{}}', "`model` must be a string: the id of a model from GET …/models."),
        (b'{"model":null,"payload":{}}', "`model` must be a string: the id of a model from GET …/models."),
        (b'{"model":7,"payload":{}}', "`model` must be a string: the id of a model from GET …/models."),
        (b'{"model":"Veo3","payload":[]}', "`payload` must be an object: the model's parameters."),
        (b'{"model":"Veo3","payload":null}', "`payload` must be an object: the model's parameters."),
    ],
)
def test_both_fields_are_there_and_of_their_type(body: bytes, message: str) -> None:
    assert refused(body) == message


def nested(depth: int, opening: bytes, closing: bytes, inner: bytes) -> bytes:
    """A body whose arrays and objects stand `depth` deep, with `inner` in the innermost."""
    return create(b'{"a":' + opening * (depth - 2) + inner + closing * (depth - 2) + b"}")


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"b":', b"}")])
def test_bo5_depth_64_is_the_last_that_passes(opening: bytes, closing: bytes) -> None:
    assert parse_create(nested(64, opening, closing, b"1")).model == "Veo3"
    message = "Arrays and objects stand in one another more than 64 levels deep."
    assert refused(nested(65, opening, closing, b"1")) == message
    assert refused(nested(64, opening, closing, b"[]")) == message
    assert refused(nested(1000, opening, closing, b"1")) == message
    assert refused(nested(15_000, opening, closing, b"1")) == message


def test_many_shallow_objects_are_not_deep() -> None:
    payload = json.dumps({"items": [{"a": [1]}] * 100}).encode()
    assert len(parse_create(create(payload)).payload["items"]) == 100


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":[' + b"1," * 1_000_000 + b"1]}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b'{"b":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        json.dumps({str(number): number for number in range(100_000)}).encode(),
        json.dumps({str(number): number for number in range(MOST_VALUES)} | {"last": [{}]}).encode()[:-4] + b"}}]}",
        json.dumps({"a": [[]] * MOST_VALUES}).encode(),
    ],
    ids=["array", "depth", "object-depth", "keys", "limit-and-broken", "brackets"],
)
def test_bo5_huge_structures_are_refused_at_once(payload: bytes) -> None:
    refused_at_once(create(payload))


def test_bo5_a_repeated_name_among_very_many_is_found_at_once() -> None:
    payload = json.dumps({str(number): 0 for number in range(MOST_VALUES - 2)}).encode()
    assert refused_at_once(create(payload[:-1] + b',"0":1}')) == "`0` stands twice in one object."


def test_bo1_thousands_of_long_numbers_are_refused_at_once() -> None:
    refused_at_once(create(b'{"a":[' + b",".join([b"9" * 4300] * 5_000) + b"]}"))


@pytest.mark.parametrize("payload", ['{"%s":1}', '{"a":[{"%s":1}]}'])
def test_bo5_a_name_has_an_end(payload: str) -> None:
    name = "ß" * LONGEST_NAME
    assert parse_create(create((payload % name).encode())).model == "Veo3"
    message = f"`{'ß' * 64}…` is a name of more than 1024 characters; shorten it."
    assert refused(create((payload % (name + "ß")).encode())) == message


def test_names_are_known_by_what_they_fold_to() -> None:
    payload = Payload({"maxImages": 1, "max_images": 2, "STRASSE": 3, "straße": 4})
    assert payload == {"maxImages": 1, "max_images": 2, "STRASSE": 3, "straße": 4}
    assert payload.spellings == {"maximages": ["maxImages", "max_images"], "strasse": ["STRASSE", "straße"]}


def test_bo6_a_large_text_is_no_large_structure() -> None:
    image = "data:image/png;base64," + "A" * 4_000_000
    assert parse_create(create(json.dumps({"image": image}).encode())).payload == {"image": image}


def test_surrogate_pairs_are_text() -> None:
    assert parse_create(create(rb'{"a":"\ud83d\ude00"}')).payload == {"a": "\U0001f600"}


def test_a_draft_does_not_show_its_prompt() -> None:
    assert repr(parse_create(create(b'{"prompt":"secret"}'))) == "Draft(model='Veo3')"


@pytest.mark.parametrize("body", [b'{"file_type":"png"}', b' {"file_type" : "png"} '])
def test_an_upload_names_its_file_type(body: bytes) -> None:
    assert parse_upload(body) == "png"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"file_type":7}', "`file_type` must be a string such as `png`."),
        (b'{"fileType":"png"}', "`fileType` is not a field of this request; send exactly `file_type`."),
        (b"{}", "`file_type` is missing; the body must have exactly `file_type`."),
    ],
)
def test_an_upload_names_nothing_else(body: bytes, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_upload(body)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("name", "text"),
    [("durationSeconds", "durationSeconds"), ("a\r\nb", "a??b"), ("x" * 65, "x" * 64 + "…"), ("x" * 64, "x" * 64)],
)
def test_names_are_shown_short_and_on_one_line(name: str, text: str) -> None:
    assert shown(name) == text


def test_a_create_is_composed_of_a_payload_as_it_stands() -> None:
    draft = compose_create('Ve"o', ' {"a": 8, "b": [1.0]}\n')
    assert (draft.model, draft.payload) == ('Ve"o', {"a": 8, "b": [1.0]})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("", "The payload is empty; write {} for one without parameters."),
        ('{"a": 1,\n "b": }', "The payload is not JSON: Expecting value at line 2, column 7."),
        ('{}, "model": "Veo3-Ultra"', "The payload is not JSON: Extra data at line 1, column 3."),
        ('{"model": "Veo3", "payload": {}}', "This is a whole create; give the object under its `payload` alone."),
        ("[]", "`payload` must be an object: the model's parameters."),
        ('{"a": NaN}', "The body is not JSON: NaN is not a number."),
        ('{"a": ' + "9" * 5000 + "}", "The body holds an integer of more than 64 digits."),
    ],
)
def test_a_payload_that_makes_no_create_says_why(payload: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        compose_create("Veo3", payload)
    assert refused.value.message == message


def test_a_payload_that_is_forgotten_leaves_the_rest_of_its_draft() -> None:
    draft = parse_create(create(b'{"prompt":"secret"}'))
    digest = draft.payload_digest
    draft.forget_payload()
    assert (draft.payload, draft.model, draft.body) == ({}, "Veo3", create(b'{"prompt":"secret"}'))
    assert draft.payload_digest == digest
