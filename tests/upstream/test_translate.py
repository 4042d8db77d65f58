"""Upstream's JSON made ours, in the shapes that were seen and in those that were not."""

import json
from typing import Any

import pytest

from gateway.core.detail import ModelDetail, Parameter, PriceInfo
from gateway.core.errors import Code
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.translate import (
    LARGEST_WHOLE_RECORD,
    ListedRecord,
    filter_models,
    list_page,
    model_detail,
    model_ids,
    outcome_in,
    record_head,
    refused_request,
    slim_record,
)


def encode(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_listing_keeps_its_order_and_its_other_fields() -> None:
    body = b'{"next":null,"model_ids":["b","a","Veo 3","a"],"x":{"z":1,"a":2.50}}'
    assert model_ids(body) == ("b", "a", "Veo 3", "a")
    kept = filter_models(body, lambda model: model != "b")
    assert kept == b'{"next":null,"model_ids":["a","Veo 3","a"],"x":{"z":1,"a":2.50}}'
    assert filter_models(body, lambda _: False) == b'{"next":null,"model_ids":[],"x":{"z":1,"a":2.50}}'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model_ids":"x"}', b'{"model_ids":[1]}', b'{"model_ids":null}', b"\xff"]
)
def test_up7_what_is_no_listing_is_invalid(body: bytes) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        model_ids(body)
    assert caught.value.code is Code.UPSTREAM_INVALID


def test_a_detail_says_what_decisions_need() -> None:
    body = encode(
        {
            "model": "Veo3",
            "org_id": "google",
            "price_info": {"price": 152000, "unit": "second", "pricing_type": "x"},
            "parameters": [
                {"name": "prompt", "type": "string", "required": True, "display_name": "Prompt"},
                {"name": "durationSeconds", "type": "enum", "default_value": "8", "options": ["4", "8"]},
                {"name": "audio", "type": "boolean", "required": False, "default_value": False},
                {"name": "n", "type": "integer", "default_value": 0, "min_value": 0, "max_value": 9.5},
                {"name": "odd", "type": ["list"], "required": True, "default_value": [1], "options": [{"a": 1}]},
                {"name": "odder", "required": "yes", "min_value": "1", "max_value": True, "options": ["4", None]},
                {"type": "nameless"},
                "nonsense",
            ],
        }
    )
    assert model_detail(body) == ModelDetail(
        "Veo3",
        (
            Parameter("prompt", "string", required=True),
            Parameter("durationSeconds", "enum", default="8", options=("4", "8")),
            Parameter("audio", "boolean", default=False),
            Parameter("n", "integer", default=0, minimum=0, maximum=9.5),
            Parameter("odd", "string"),
            Parameter("odder", "string", options=("4",)),
        ),
        PriceInfo(152000, "second"),
    )


@pytest.mark.parametrize(
    "price",
    [
        {"price": 0.5, "unit": "second"},
        {"price": -1, "unit": "second"},
        {"price": True, "unit": "x"},
        {"price": "1", "unit": "x"},
        {"price": 1},
        {"price": 10**400, "unit": "x"},
        [],
        None,
        5,
    ],
)
def test_bu3_an_odd_price_is_an_unknown_one(price: Any) -> None:
    assert model_detail(encode({"model": "m", "price_info": price})) == ModelDetail("m")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model":7}', b"<html>", b'{"model":"m"', b"\xff"])
def test_what_is_no_detail_is_none(body: bytes) -> None:
    assert model_detail(body) is None


def test_the_head_of_short_and_full_records() -> None:
    short = record_head(b'{"request_id":"r-1","model":"Veo3","status":"queued","created_at":1700000000}')
    assert short is not None
    assert (short.request_id, short.status, short.is_full) == ("r-1", "queued", False)
    full = record_head(
        b'{"request_id":"r-1","org_id":"o","status":"success","payload":{"a":[1]},"outcome":{"video_url":"u"}}'
    )
    assert full is not None
    assert (full.request_id, full.status, full.is_full) == ("r-1", "success", True)


def test_what_nobody_reads_of_a_record_may_be_anything() -> None:
    head = record_head(
        b'{"request_id":"r-1","status":"queued","model":{"id":"Veo3"},"created_at":"2026-11-26T00:00:00Z"}'
    )
    assert head is not None
    assert (head.request_id, head.status) == ("r-1", "queued")


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"queued"}',
        b'{"request_id":7,"status":"queued"}',
        b'{"request_id":"","status":"queued"}',
        b'{"request_id":"../x","status":"queued"}',
        encode({"request_id": "x" * 1_000_000, "status": "queued"}),
        b'{"request_id":"r"}',
        b'{"request_id":"r","status":null}',
        b'{"request_id":"r","status":""}',
        encode({"request_id": "r", "status": "x" * 100}),
        b"[]",
        b"",
        b"\xff",
    ],
)
def test_up7_a_record_without_a_usable_id_or_status_is_none(body: bytes) -> None:
    assert record_head(body) is None


def test_a_page_of_the_list_with_records_that_cannot_be_read() -> None:
    first = {"request_id": "r1", "model": "Veo3", "status": "queued", "created_at": 5, "payload": {"prompt": "é"}}
    rest: list[Any] = [{"request_id": "r2", "model": "Veo3", "created_at": 4}, {"request_id": "r3"}, 7]
    found = list_page(encode({"requests": [first, *rest], "has_more": False, "total": 4}))
    assert found is not None
    page = found.records
    assert [(record.request_id, record.model, record.created_at) for record in page] == [
        ("r1", "Veo3", 5.0),
        ("r2", "Veo3", 4.0),
        ("", "", float("inf")),
        ("", "", float("inf")),
    ]
    assert page[0].payload == {"prompt": "é"}
    assert page[1].payload == {}
    assert page[0].body == encode(first)


@pytest.mark.parametrize(
    ("body", "has_more"),
    [
        (b'{"requests":[],"has_more":false}', False),
        (b'{"requests":[],"has_more":true}', True),
        (b'{"requests":[],"has_more":null}', True),
        (b'{"requests":[]}', True),
    ],
)
def test_a_page_is_the_last_only_if_upstream_says_so(body: bytes, has_more: bool) -> None:  # noqa: FBT001
    page = list_page(body)
    assert page is not None
    assert page.has_more is has_more


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"requests":{}}', b'{"requests":null}'])
def test_what_is_no_page_is_none(body: bytes) -> None:
    assert list_page(body) is None


def test_a_record_within_the_limit_is_kept_as_it_came() -> None:
    body = b'{ "request_id" : "r" }'
    assert slim_record(body) == (body, True)


def test_a_large_record_loses_payload_and_inline_data_and_nothing_else() -> None:
    parts = [{"inlineData": {"mimeType": "image/png", "data": "A" * 300_000}}, {"text": "done"}, "B" * 5000]
    record = {
        "request_id": "r",
        "status": "success",
        "payload": {"image": "C" * 300_000},
        "outcome": {"candidates": [{"content": {"parts": parts}}]},
        "created_at": 1700000000,
    }
    kept, whole = slim_record(encode(record))
    assert not whole
    assert kept == encode(
        {
            "request_id": "r",
            "status": "success",
            "outcome": {
                "candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png"}}, {"text": "done"}]}}]
            },
            "created_at": 1700000000,
        }
    )


def test_a_record_large_with_small_parts_loses_its_outcome() -> None:
    record = {"request_id": "r", "outcome": {str(number): "x" * 100 for number in range(5000)}, "status": "success"}
    assert slim_record(encode(record)) == (b'{"request_id":"r","status":"success"}', False)


def test_a_large_text_that_is_no_record_becomes_an_empty_one() -> None:
    assert slim_record(b"<" * 300_000) == (b"{}", False)


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (b'{"error":"moderated","request_id":"r1"}', "r1"),
        (b'{"error":"moderated","request_id":null}', None),
        (b'{"error":"moderated","request_id":7}', None),
        (b'{"error":"moderated","request_id":"../x"}', None),
        (b'{"error":"moderated"}', None),
        (b"<html>", None),
    ],
)
def test_up11_the_job_a_refused_create_left_behind(body: bytes, request_id: str | None) -> None:
    refused = refused_request(body)
    assert (refused.request_id if refused is not None else None) == request_id


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": "moderated", "request_id":"r1"}', b'"moderated"'),
        (b'{"request_id":"r1","error":{"code":400,"message":"no"}}', b'{"code":400,"message":"no"}'),
        (b'{"request_id":"r1"}', b"null"),
    ],
)
def test_up11_why_the_create_was_refused_is_kept_as_it_was_said(body: bytes, error: bytes) -> None:
    refused = refused_request(body)
    assert refused is not None
    assert bytes(refused.error) == error


def deep(depth: int, opening: str = "[", closing: str = "]") -> str:
    """Arrays or objects in one another."""
    return opening * depth + ("1" if opening != "[" else "") + closing * depth


@pytest.mark.parametrize("depth", [100, 200, 500, 900, 1100, 3000, 500_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a\\"[":', "}")])
def test_a_record_nested_deeply_hides_no_other_of_its_page(depth: int, opening: str, closing: str) -> None:
    other = b'{"request_id":"r2","model":"Veo3","created_at":4,"payload":{"a":"}]\\"["}}'
    odd = f'{{"request_id":"r1","payload":{deep(min(depth, 50_000), opening, closing)},"model":"Veo3","created_at":5}}'
    page = list_page(b'{"requests":[%s,%s],"has_more":false}' % (odd.encode(), other))
    assert page is not None
    assert page.records[1:] == [ListedRecord("r2", "Veo3", 4.0, {"a": '}]"['}, other)]
    assert not page.has_more


@pytest.mark.parametrize("body", [b'{"requests":' + b"[" * 5000, b'{"requests":[' + b"[" * 5000 + b"]" * 5000])
def test_a_deep_page_that_breaks_off_is_none(body: bytes) -> None:
    assert list_page(body) is None


@pytest.mark.parametrize("depth", [1100, 5000])
def test_up7_what_is_nested_too_deeply_is_not_read(depth: int) -> None:
    body = f'{{"request_id":"r","status":"queued","model":"m","model_ids":[],"x":{deep(depth)}}}'.encode()
    assert record_head(body) is None
    assert refused_request(body) is None
    assert model_detail(body) is None
    with pytest.raises(UpstreamFailure):
        model_ids(body)


@pytest.mark.parametrize("depth", [500, 900])
def test_a_large_record_nested_deeply_loses_payload_and_outcome(depth: int) -> None:
    pad = "x" * 300_000
    body = f'{{"request_id":"r","payload":"{pad}","outcome":{deep(depth)},"status":"success"}}'.encode()
    kept, whole = slim_record(body)
    assert not whole
    assert len(kept) < 10_000
    assert record_head(kept) is not None
    assert slim_record(body.replace(deep(depth).encode(), deep(5000).encode())) == (b"{}", False)


CUT = rb'"cut \ud83d"'


@pytest.mark.parametrize("value", [b'"\xff\xfe"', b"1e999", CUT], ids=["no UTF-8", "too large a number", "half a pair"])
def test_a_large_record_that_cannot_be_looked_through_loses_its_outcome(value: bytes) -> None:
    body = b'{"request_id":"r","status":"success","outcome":{"a":%s,"b":"%s"}}' % (value, b"x" * LARGEST_WHOLE_RECORD)
    kept, whole = slim_record(body)
    head = record_head(kept)
    assert head is not None
    assert (head.request_id, head.status, whole) == ("r", "success", False)
    assert len(kept) < 200


@pytest.mark.parametrize("text", [CUT, rb'"\udfff"', rb'"\\\ud83d"', '"é \\ud83d"'.encode()])
def test_a_record_with_half_a_character_is_read(text: bytes) -> None:
    body = b'{"request_id":"r","status":"success","outcome":{"audio_url":"https://a/b.mp3","text":%s}}' % text
    head = record_head(body)
    assert head is not None
    assert (head.request_id, head.status, head.is_full) == ("r", "success", True)
    assert outcome_in(body)["audio_url"] == "https://a/b.mp3"
    page = list_page(b'{"requests":[{"request_id":"r","model":"m","created_at":1,"payload":{"a":%s}}]}' % text)
    assert page is not None
    assert [record.request_id for record in page.records] == ["r"]
