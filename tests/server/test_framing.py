"""What a head may look like. Every refusal has a row here; the socket's side is in test_protocol."""

import pytest

from gateway.server.framing import Field, chunk_excess, expects_continue, head_problem

HOST = (b"host", b"gateway")
TE = b"transfer-encoding"


@pytest.mark.parametrize(
    "host",
    [b"gateway", b"gateway.example:8080", b"127.0.0.1:1", b"[::1]", b"[::1]:8080", b"my_service", b"EXAMPLE.org"],
)
def test_hd6_a_name_or_address_with_an_optional_port_is_a_host(host: bytes) -> None:
    assert head_problem(b"GET", "1.1", b"/", [(b"host", host)]) is None


@pytest.mark.parametrize(
    "host",
    [b"", b" ", b"a/../b", b"a@b", b"a b", b"a,b", b"a:b", b"a:123456", b"::1", b"[::1", b"a%2eb", b"\xff", b":80"],
)
def test_hd6_nothing_else_is(host: bytes) -> None:
    assert "Host" in (head_problem(b"GET", "1.1", b"/", [(b"host", host)]) or "")


@pytest.mark.parametrize("fields", [[], [HOST, HOST], [HOST, (b"host", b"other")]])
def test_hd6_there_is_exactly_one(fields: list[Field]) -> None:
    assert "Host" in (head_problem(b"GET", "1.1", b"/", fields) or "")


@pytest.mark.parametrize("target", [b"/", b"//", b"/a?b=c&d", b"/%2e%2e", b"/a;b@c:d", b"/?http://evil/"])
def test_a_path_is_a_target(target: bytes) -> None:
    assert head_problem(b"GET", "1.1", target, [HOST]) is None


@pytest.mark.parametrize(
    "target", [b"", b"*", b"http://evil/", b"a", b"host:443", b"/a b", b"/a#b", b"/\xff", b"/\x7f"]
)
def test_nothing_else_is(target: bytes) -> None:
    assert "path" in (head_problem(b"GET", "1.1", target, [HOST]) or "")


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"M-SEARCH"])
def test_me3_methods_that_have_no_place_here(method: bytes) -> None:
    assert "method" in (head_problem(method, "1.1", b"/", [HOST]) or "")


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0"])
def test_versions_nobody_speaks(version: str) -> None:
    assert "HTTP/1.1" in (head_problem(b"GET", version, b"/", [HOST]) or "")


LENGTHS: dict[str, tuple[str, list[Field], bool]] = {
    "length": ("1.1", [(b"content-length", b"5")], True),
    "length-1.0": ("1.0", [(b"content-length", b"5")], True),
    "chunked": ("1.1", [(TE, b"chunked")], True),
    "expect": ("1.1", [(b"expect", b"100-continue"), (b"content-length", b"5")], True),
    "chunked-1.0": ("1.0", [(TE, b"chunked")], False),
    "chunked-capital": ("1.1", [(TE, b"Chunked")], False),
    "chunked-twice": ("1.1", [(TE, b"chunked"), (TE, b"chunked")], False),
    "gzip": ("1.1", [(TE, b"gzip, chunked")], False),
    "both": ("1.1", [(TE, b"chunked"), (b"content-length", b"5")], False),
    "both-reversed": ("1.1", [(b"content-length", b"5"), (TE, b"chunked")], False),
    "lengths": ("1.1", [(b"content-length", b"5"), (b"content-length", b"5")], False),
    "upgrade": ("1.1", [(b"upgrade", b"h2c")], False),
}


@pytest.mark.parametrize(("version", "fields", "fine"), LENGTHS.values(), ids=LENGTHS)
def test_sm1_sm3_one_reading_of_where_the_body_ends(version: str, fields: list[Field], fine: bool) -> None:  # noqa: FBT001
    assert (head_problem(b"POST", version, b"/", [HOST, *fields]) is None) is fine


@pytest.mark.parametrize(
    ("version", "value", "waits"),
    [
        ("1.1", b"100-continue", True),
        ("1.1", b"100-Continue", True),
        ("1.0", b"100-continue", False),
        ("1.1", b"x", False),
    ],
)
def test_only_http_1_1_can_expect_100(version: str, value: bytes, waits: bool) -> None:  # noqa: FBT001
    assert expects_continue(version, [HOST, (b"expect", value)]) is waits
    assert not expects_continue(version, [HOST])


def test_hd8_chunk_framing_counts_what_carries_nothing() -> None:
    assert chunk_excess(0, overhead=6, chunks=1, data=1) == 0
    assert chunk_excess(0, overhead=4096, chunks=0, data=0) == 4096
    assert chunk_excess(4096, overhead=1016, chunks=1, data=500) == 4096
    assert chunk_excess(100, overhead=7, chunks=1, data=100_000) == 0
