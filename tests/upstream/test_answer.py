"""What is taken for an answer, and how long the client is told to wait."""

from typing import cast

import pytest

from gateway.core.errors import Code
from gateway.upstream.answer import (
    Answer,
    require_no_secret,
    require_result,
    retry_after,
    seconds_refused,
    stated_limit,
)
from gateway.upstream.credentials import traces_of
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.reply import Reply
from gateway.upstream.request import Operation

DATE = "Mon, 23 Nov 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "30"}, b"", 30),
        ({"retry-after": "0"}, b"", 1),
        ({"retry-after": "-1"}, b"", 1),
        ({"retry-after": "9" * 12}, b"", 300),
        ({"retry-after": "Mon, 23 Nov 2026 00:01:00 GMT", "date": DATE}, b"", 60),
        ({"retry-after": "Sun, 22 Nov 2026 00:01:00 GMT", "date": DATE}, b"", 1),
        ({"retry-after": "Mon, 23 Nov 2026 00:01:00 GMT"}, b"", 5),
        ({"retry-after": "Mon, 23 Nov 2026 00:01:00", "date": DATE}, b"", 5),
        ({}, b'{"error":"x","rate_limit":{"retry_after_ms":29970}}', 30),
        ({}, b'{"rate_limit":{"retry_after_ms":"soon"}}', 5),
        ({"retry-after": "1"}, b'{"rate_limit":{"retry_after_ms":29970}}', 30),
        ({"retry-after": "7"}, b'{"rate_limit":{"retry_after_ms":"soon"}}', 7),
        ({}, b"\xff", 5),
    ],
)
def test_up10_retry_after(headers: dict[str, str], body: bytes, seconds: int) -> None:
    assert retry_after(headers, body) == seconds


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"rate_limit":{"retry_after_ms":29970}}', 29.97),
        (b'{"rate_limit":{"retry_after_ms":400}}', 0.4),
        (b'{"rate_limit":{"retry_after_ms":1}}', 0.1),
        (b'{"rate_limit":{"retry_after_ms":1e300}}', 300),
        (b'{"rate_limit":{"retry_after_ms":0}}', 7),
        (b'{"rate_limit":{"retry_after_ms":-1}}', 7),
        (b'{"rate_limit":{"retry_after_ms":"soon"}}', 7),
        (b"", 7),
    ],
)
def test_up10_a_refusal_holds_as_long_as_upstream_says(body: bytes, seconds: float) -> None:
    assert seconds_refused(Answer(429, ((b"retry-after", b"7"),), body)) == seconds


@pytest.mark.parametrize(
    ("body", "stated"),
    [
        (
            b'{"rate_limit":{"limit_type":"RPM","limit":2,"interval_seconds":60,"retry_after_ms":29970,"more":1}}',
            {"limit_type": "RPM", "limit": 2, "interval_seconds": 60},
        ),
        (b'{"rate_limit":{"limit_type":"a prompt","limit":"2","interval_seconds":60}}', {"interval_seconds": 60}),
        (b'{"rate_limit":{"limit_type":7,"limit":-1,"interval_seconds":1e30}}', {}),
        (b'{"rate_limit":{"limit_type":"\\ud800","limit":true,"interval_seconds":null}}', {}),
        (b'{"rate_limit":"RPM"}', {}),
        (b'{"error":"slow"}', {}),
        (b"[" * 5000, {}),
        (b"\xff", {}),
    ],
)
def test_up10_of_upstreams_limit_only_what_is_plain_and_short_is_read(body: bytes, stated: dict[str, object]) -> None:
    assert stated_limit(body) == stated


@pytest.mark.parametrize("media_type", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON"])
def test_a_json_object_is_accepted(media_type: bytes) -> None:
    answer = Answer(200, ((b"content-type", media_type),), b'{"a":{"b":[1,2.5,null,"\\u00e9"]}}')
    for operation in Operation:
        require_result(answer, operation)


@pytest.mark.parametrize("body", [b"", b"1", b"[]", b"{", b'{"a":}', b'{"a":[1,}', b'{"a":1}{', b'{"a":NaN}'])
def test_up7_anything_else_is_not(body: bytes) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        require_result(Answer(200, ((b"content-type", b"application/json"),), body), Operation.GET_MODEL)
    assert caught.value.code is Code.UPSTREAM_INVALID


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("operation", [Operation.GET_REQUEST, Operation.GET_MODEL, Operation.CREATE_REQUEST])
def test_up7_what_does_not_say_that_it_is_json_is_not(status: int, operation: Operation) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        require_result(Answer(status, ((b"content-type", b"text/html"),), b"{}"), operation)
    assert caught.value.code is Code.UPSTREAM_INVALID


@pytest.mark.parametrize("status", [202, 204, 206])
def test_up7_a_status_that_names_no_result_is_none(status: int) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        require_result(Answer(status, ((b"content-type", b"application/json"),), b"{}"), Operation.LIST_REQUESTS)
    assert caught.value.code is Code.UPSTREAM_INVALID


def test_the_first_value_of_a_header() -> None:
    answer = Answer(200, ((b"x", b"1"), (b"x", b"2")), b"")
    assert (answer.header(b"x"), answer.header(b"y")) == (b"1", None)


class Headless:
    """An answer without headers."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    piece: bytes | None = None


@pytest.mark.parametrize(
    "body", [b'["a\\/key/of+ours"]', b'{"x":"a/\\u006bey/of\\u002bours"}', b'["a\\/key\\u002Fof+ours"]']
)
def test_se2_json_escapes_hide_no_key(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        require_no_secret(cast("Reply", Headless()), body, traces_of("a/key/of+ours"))


@pytest.mark.parametrize(
    "body", [b'["a\\/key", "of+ours"]', b"a\\/key/of+ours", b"\\u00ff\xff", b"[" * 3000 + b'"\\u0061"']
)
def test_se2_what_only_looks_like_it_is_passed_on(body: bytes) -> None:
    require_no_secret(cast("Reply", Headless()), body, traces_of("a/key/of+ours"))
