import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Refusal
from gateway.core.wire import (
    Payload,
    compose_create,
    parse_create,
    parse_upload,
)
from tests.core.payloads import payloads


def create(payload: bytes) -> bytes:
    return b'{"model":"Veo3","payload":' + payload + b"}"


def refused(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse_create(body)
    assert caught.value.code is Code.INVALID_REQUEST
    assert caught.value.status == 400
    return caught.value.message


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


def test_names_are_known_by_what_they_fold_to() -> None:
    payload = Payload({"maxImages": 1, "max_images": 2, "STRASSE": 3, "straße": 4})
    assert payload == {"maxImages": 1, "max_images": 2, "STRASSE": 3, "straße": 4}
    assert payload.spellings == {"maximages": ["maxImages", "max_images"], "strasse": ["STRASSE", "straße"]}


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
