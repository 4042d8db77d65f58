"""Raw bytes against a real socket: framing in doubt is refused and closed, and `/smuggled` never reaches the app."""

import asyncio
import gc
import weakref

import pytest

from tests.server.conftest import App, Connect, Serve, get, parse, post, talk, until

SMUGGLED = get("/smuggled")
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def te(value: str) -> bytes:
    return post("/", f"Transfer-Encoding: {value}", body=CHUNKS)


REFUSED = {
    "sm1-length-then-coding": post("/", "Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKS),
    "sm1-coding-then-length": post("/", "Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKS),
    "sm1-lengths-differ": post("/", "Content-Length: 5", "Content-Length: 6", body=b"hello!"),
    "sm1-lengths-same": post("/", "Content-Length: 5", "Content-Length: 5", body=b"hello"),
    "sm1-lengths-listed": post("/", "Content-Length: 5, 5", body=b"hello"),
    "sm1-length-signed": post("/", "Content-Length: +5", body=b"hello"),
    "sm1-length-overflows": post("/", "Content-Length: 18446744073709551621", body=b"hello"),
    "sm3-xchunked": te("xchunked"),
    "sm3-chunked-identity": te("chunked, identity"),
    "sm3-gzip-chunked": te("gzip, chunked"),
    "sm3-identity": te("identity"),
    "sm3-twice": post("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKS),
    "sm3-vertical-tab": te("\x0bchunked"),
    "sm3-capital-tab": te("Chunked\t"),
    "sm3-space-in-name": post("/", "Transfer-Encoding : chunked", body=CHUNKS),
    "sm3-http-1.0": te("chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "sm5-bare-lf": get().replace(b"\r\n", b"\n"),
    "sm5-bare-cr": get("/", "X: a\rY: b"),
    "sm5-nul-in-value": get("/", "X: a\0b"),
    "sm5-nul-in-name": get("/", "X\0: a"),
    "sm5-obs-fold": get("/", "X: a", " b"),
    "sm5-space-before-colon": get("/", "X : a"),
    "sm5-leading-space": b"GET / HTTP/1.1\r\n Host: gateway\r\n\r\n",
    "sm5-no-colon": get("/", "nothing"),
    "sm5-no-name": get("/", ": value"),
    "sm5-bad-chunk-size": post("/", "Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "sm7-h2c": get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
    "sm7-websocket": get("/", "Connection: Upgrade", "Upgrade: websocket"),
    "sm7-body": post("/", "Connection: Upgrade", "Upgrade: foo", "Content-Length: 24", body=SMUGGLED),
    "sm7-chunked": post("/", "Connection: Upgrade", "Upgrade: foo", "Transfer-Encoding: chunked", body=CHUNKS),
    "sm7-unconnected": post("/", "Upgrade: foo", "Content-Length: 5", body=b"hello"),
    "hd6-no-host": b"GET / HTTP/1.1\r\n\r\n",
    "hd6-no-host-1.0": b"GET / HTTP/1.0\r\n\r\n",
    "hd6-two-hosts": get("/", "Host: other"),
    "hd6-path": b"GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n",
    "hd6-user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "hd6-empty": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "hd6-absolute-form": get("http://evil/"),
    "me2-options-asterisk": get("*").replace(b"GET", b"OPTIONS"),
    "me3-trace": get().replace(b"GET", b"TRACE"),
    "me3-track": get().replace(b"GET", b"TRACK"),
    "me3-connect-authority": get("host:443").replace(b"GET", b"CONNECT"),
    "me3-connect-path": get().replace(b"GET", b"CONNECT"),
    "me4-lower-case": get().replace(b"GET", b"get"),
    "me4-unknown": get().replace(b"GET", b"FOO"),
    "me4-10-kb": get().replace(b"GET", b"G" * 10_240),
    "me4-hyphen": get().replace(b"GET", b"M-SEARCH"),
    "fragment": get("/#smuggled"),
    "not-ascii": get().replace(b"GET /", b"GET /\xff"),
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-0.9": b"GET /\r\n\r\n",
    "http-3.0": get().replace(b"HTTP/1.1", b"HTTP/3.0"),
    "tls-hello": bytes.fromhex("1603010200010001fc0303") + bytes(64),
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
async def test_framing_in_doubt_is_refused_and_closed(serve: Serve, app: App, sent: bytes) -> None:
    (answer,) = await talk(await serve(), sent + SMUGGLED, SMUGGLED)
    assert (answer.status, answer.code, answer.closes) == (400, "invalid_request", True)
    assert answer.headers["x-request-id"] == "r1"
    assert "/smuggled" not in app.paths
    assert all(call.disconnected for call in app.calls)


async def test_sm7_a_body_in_a_second_packet_after_upgrade_is_not_a_request(serve: Serve, app: App) -> None:
    head = post("/", "Connection: Upgrade", "Upgrade: anything", f"Content-Length: {len(SMUGGLED)}")
    (answer,) = await talk(await serve(), head, SMUGGLED, get())
    assert answer.status == 400
    assert app.calls == []


TRAILERS = b"Authorization: Bearer t\r\nX-Organization-ID: o\r\nContent-Length: 9\r\nHost: t\r\n\r\n"


async def test_sm6_trailers_reach_neither_this_request_nor_the_next(serve: Serve, app: App) -> None:
    chunked = post("/", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n" + TRAILERS)
    first, second = await talk(await serve(), chunked, get("/next", "Connection: close"))
    assert (first.status, first.body, second.status) == (200, b"hello", 200)
    assert app.calls[0].scope["headers"] == [(b"host", b"gateway"), (b"transfer-encoding", b"chunked")]
    assert app.calls[1].scope["headers"] == [(b"host", b"gateway"), (b"connection", b"close")]


@pytest.mark.parametrize("together", [True, False])
async def test_sm8_an_early_answer_closes_and_the_unread_body_is_no_request(
    serve: Serve, app: App, *, together: bool
) -> None:
    head = post("/early", f"Content-Length: {len(SMUGGLED) + 1}")
    packets = (head + SMUGGLED,) if together else (head, SMUGGLED)
    (answer,) = await talk(await serve(), *packets)
    assert (answer.status, answer.body, answer.closes) == (401, b"no", True)
    assert app.paths == ["/early"]


async def test_sm8_an_early_answer_to_a_whole_request_keeps_the_connection(
    serve: Serve, connect: Connect, app: App
) -> None:
    wire = await connect(await serve())
    await wire.send(post("/early", "Content-Length: 2", body=b"hi") + get())
    assert [(await wire.answer()).status, (await wire.answer()).status] == [401, 200]


async def test_au6_a_huge_unread_body_is_cut_short_after_its_answer_arrived(serve: Serve, connect: Connect) -> None:
    wire = await connect(await serve())
    await wire.send(post("/early", "Content-Length: 1000000000", body=bytes(1_000_000)))
    answer, sent = await wire.answer(), 1_000_000
    with pytest.raises((ConnectionError, RuntimeError)):
        async with asyncio.timeout(3):
            while sent < 100_000_000:
                wire.writer.write(bytes(100_000))
                await wire.writer.drain()
                sent += 100_000
    assert (answer.status, answer.closes) == (401, True)
    assert sent < 20_000_000  # what the kernel's buffers took; the listener read linger_bytes of it


async def test_no_continue_is_sent_unless_the_app_reads(serve: Serve, connect: Connect) -> None:
    listener = await serve()
    head = ("Content-Length: 5", "Expect: 100-continue", "Connection: close")
    (early,) = await talk(listener, post("/early", *head))
    wire = await connect(listener)
    await wire.send(post("/", *head))
    proceed = await wire.answer()
    await wire.send(b"hello")
    (done,) = parse(await wire.rest())
    assert (early.status, proceed.status, done.body) == (401, 100, b"hello")


SIZES = {
    "pa4-path": (get("/" + "a" * 8191), get("/" + "a" * 8192), 414, "uri_too_long"),
    "pa4-query": (get("/?" + "a" * 8190), get("/?" + "a" * 8191), 414, "uri_too_long"),
    "pa4-1-mb": (get("/"), get("/" + "a" * 1_000_000), 414, "uri_too_long"),
    "hd8-101-headers": (
        get("/", *["X: y"] * 99),
        get("/", *["X: y"] * 100),
        431,
        "headers_too_large",
    ),
    "hd8-33-kib": (
        get("/", *[f"X: {'y' * 1000}"] * 32),
        get("/", *[f"X: {'y' * 1000}"] * 33),
        431,
        "headers_too_large",
    ),
    "hd8-1-mb-header": (get("/"), get("/", f"X: {'y' * 1_000_000}"), 431, "headers_too_large"),
    "hd8-10-000-headers": (get("/"), get("/", *["X: y"] * 10_000), 431, "headers_too_large"),
}


@pytest.mark.parametrize("case", SIZES.values(), ids=SIZES)
async def test_what_fits_passes_and_one_more_is_refused(
    serve: Serve, connect: Connect, app: App, case: tuple[bytes, bytes, int, str]
) -> None:
    fits, exceeds, status, code = case
    wire = await connect(await serve())
    await wire.send(fits)
    assert (await wire.answer()).status == 200
    await wire.send(exceeds)
    (answer,) = parse(await wire.rest())
    assert (answer.status, answer.code, answer.closes) == (status, code, True)
    assert len(app.calls) == 1


FRAMES = {
    "hd8-20-000-trailers": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "hd8-1-mb-extension": b"5;" + b"e" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n",
    "hd8-1-mb-trailer": b"5\r\nhello\r\n0\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "hd8-1-kb-extension-each": (b"1;" + b"e" * 1000 + b"\r\nh\r\n") * 1000 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("body", FRAMES.values(), ids=FRAMES)
async def test_chunk_framing_without_end_is_refused(serve: Serve, app: App, body: bytes) -> None:
    (answer,) = await talk(await serve(), post("/", "Transfer-Encoding: chunked", body=body))
    assert (answer.status, answer.code, answer.closes) == (431, "headers_too_large", True)
    assert app.calls[0].disconnected


async def test_one_byte_chunks_cost_an_honest_client_nothing(serve: Serve, app: App) -> None:
    body = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    (answer,) = await talk(await serve(), post("/", "Transfer-Encoding: chunked", "Connection: close", body=body))
    assert (answer.status, len(answer.body)) == (200, 50_000)


async def test_the_scope_holds_the_path_as_sent(serve: Serve, connect: Connect, app: App) -> None:
    wire = await connect(await serve())
    await wire.send(get("//a/%2e%2e/b%20c;x?d=%00&e", "X-Twice: 1", "x-twice: 2"))
    await wire.answer()
    scope = app.calls[0].scope
    assert (scope["raw_path"], scope["query_string"]) == (b"//a/%2e%2e/b%20c;x", b"d=%00&e")
    assert scope["path"] == "//a/../b c;x"
    assert scope["client"] == wire.writer.get_extra_info("sockname")
    assert scope["headers"][1:] == [(b"x-twice", b"1"), (b"x-twice", b"2")]


async def test_head_and_http_1_0_close_as_they_should(serve: Serve, connect: Connect) -> None:
    listener = await serve()
    (old,) = await talk(listener, get("/", "Connection: keep-alive").replace(b"1.1", b"1.0"))
    wire = await connect(listener)
    await wire.send(get().replace(b"GET", b"HEAD") + get())
    assert old.closes
    assert [(await wire.answer()).status, (await wire.answer()).status] == [200, 200]


async def test_an_app_that_fails_is_answered_for_without_its_words(serve: Serve) -> None:
    (answer,) = await talk(await serve(), get("/fail"))
    assert (answer.status, answer.code, answer.closes) == (500, "internal_error", True)
    assert b"nothing here" not in answer.body


@pytest.mark.parametrize("closes", ["the client", "the gateway", "the client amid a body"])
async def test_a_connection_that_is_over_leaves_nothing_to_the_garbage_collector(
    serve: Serve, connect: Connect, app: App, closes: str
) -> None:
    listener = await serve()
    wire = await connect(listener)
    await until(lambda: bool(listener._state.connections))
    (gone,) = [weakref.ref(connection) for connection in listener._state.connections]
    gc.disable()
    try:
        await wire.send(get("/", *(["Connection: close"] if closes == "the gateway" else [])))
        assert (await wire.answer()).status == 200
        if closes == "the client amid a body":
            await wire.send(post("/", "Content-Length: 5", body=b"hel"))
        wire.writer.close()
        await until(lambda: not listener._state.connections and not listener._state.tasks)
        app.calls.clear()  # it keeps what it was called with
        await until(lambda: gone() is None)
    finally:
        gc.enable()
