"""Which headers are the client's business."""

import pytest

from gateway.upstream.fields import end_to_end


def test_hd4_nominated_fields_stay_here_however_they_are_written() -> None:
    headers = [(b"Connection", b"close , X-A"), (b"connection", b"x-b"), (b"X-A", b"1"), (b"x-B", b"2"), (b"X-C", b"3")]
    assert end_to_end(headers) == ((b"x-c", b"3"),)


@pytest.mark.parametrize(
    "name",
    [
        b"Cache-Control",
        b"ETag",
        b"Age",
        b"Cache-Status",
        b"Idempotency-Replayed",
        b"Preference-Applied",
        b"Proxy-Status",
        b"RateLimit",
        b"RateLimit-Policy",
        b"Retry-After",
        b"Server-Timing",
        b"X-Request-ID",
    ],
)
def test_hd4_upstream_cannot_speak_in_the_gateways_name(name: bytes) -> None:
    assert end_to_end([(name, b"forged"), (b"X-Z", b"1")]) == ((b"x-z", b"1"),)


@pytest.mark.parametrize(
    "name",
    [
        b"Akamai-Cache-Control",
        b"CDN-Cache-Control",
        b"Cloudflare-CDN-Cache-Control",
        b"Edge-Control",
        b"Expires",
        b"Pragma",
        b"Refresh",
        b"Surrogate-Control",
        b"Surrogate-Key",
        b"Vercel-CDN-Cache-Control",
        b"X-Accel-Buffering",
        b"X-Accel-Redirect",
        b"X-LiteSpeed-Location",
        b"X-Lighttpd-Send-File",
        b"X-Reproxy-URL",
        b"X-Sendfile",
    ],
)
def test_hd4_upstream_tells_no_proxy_or_cache_before_the_gateway_what_to_do(name: bytes) -> None:
    assert end_to_end([(name, b"/etc/passwd"), (b"X-Z", b"1")]) == ((b"x-z", b"1"),)


def test_what_an_answer_depends_on_stays_the_clients_business() -> None:
    assert end_to_end([(b"Vary", b"Accept-Encoding")]) == ((b"vary", b"Accept-Encoding"),)


def test_repeated_fields_and_their_order_stay() -> None:
    headers = [(b"Link", b"a"), (b"X-Z", b"1"), (b"Link", b"b")]
    assert end_to_end(headers) == ((b"link", b"a"), (b"x-z", b"1"), (b"link", b"b"))
