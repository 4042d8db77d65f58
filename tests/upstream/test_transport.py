"""Faults on the wire: what each does to the call it hits, and that it does nothing to the next one."""

import asyncio
import contextlib
import os
import random
import resource
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial

import httpx
import pytest

from gateway.core.errors import Code
from gateway.upstream.client import Limits, Sent, UpstreamFailure
from gateway.upstream.transport import Transport, build_transport, origin_of
from tests.scripted_upstream import Connection, Script, ScriptedUpstream, answering, response
from tests.upstream.conftest import Connect, failures_of, until

BODY = b'{"model":"Veo3","payload":{}}'
SHORT = Limits(timeout=0.4, create_timeout=0.4, in_flight=50)
GOOD = response(b'{"whose":"mine"}')
SMUGGLED = response(b'{"whose":"another team\'s"}')


def sending(*parts: bytes, then: Callable[[Connection], None] | None = None) -> Script:
    """A script that reads one request, sends the parts, and closes or does `then`."""

    async def script(connection: Connection) -> None:
        await connection.request()
        for part in parts:
            await connection.send(part)
            await asyncio.sleep(0.01)
        if then is not None:
            then(connection)

    return script


async def silent(connection: Connection) -> None:
    await connection.hold()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_up1_a_refused_connection_was_never_sent(client: Connect) -> None:
    for failure in await failures_of(client(f"http://127.0.0.1:{free_port()}")):
        assert (failure.sent, failure.code) == (Sent.NEVER, Code.UPSTREAM_UNREACHABLE)


async def test_up2_an_unknown_name_was_never_sent(client: Connect) -> None:
    for failure in await failures_of(client("http://no-such-host.invalid")):
        assert failure.sent is Sent.NEVER
        assert failure.code in (Code.UPSTREAM_UNREACHABLE, Code.UPSTREAM_TIMEOUT)


async def test_up4_a_connection_that_does_not_come_about_times_out(
    client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.client.CONNECT_TIMEOUT", 0.2)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.socket() as first, socket.socket() as second:
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(address)
            for failure in await failures_of(client(f"http://127.0.0.1:{address[1]}")):
                assert (failure.sent, failure.code) == (Sent.NEVER, Code.UPSTREAM_TIMEOUT)


async def test_ac4_a_call_whose_time_runs_out_before_it_has_a_connection_was_never_sent(client: Connect) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        for failure in await failures_of(client(f"http://127.0.0.1:{full.getsockname()[1]}", limits=SHORT)):
            assert (failure.sent, failure.code) == (Sent.NEVER, Code.UPSTREAM_TIMEOUT)


@pytest.mark.parametrize("slow", ["silent", "head", "body"])
async def test_up5_the_deadline_is_for_the_whole_call(client: Connect, slow: str) -> None:
    async def dripping(connection: Connection) -> None:
        await connection.request()
        whole = response(b'{"a":' + b" " * 500 + b"1}")
        head = whole.index(b"\r\n\r\n") + 4
        if slow == "body":
            await connection.send(whole[:head])
            whole = whole[head:]
        await connection.drip(whole, 0.05)

    async with ScriptedUpstream(silent if slow == "silent" else dripping) as upstream:
        gmi = client(upstream.url, limits=SHORT)
        started = asyncio.get_running_loop().time()
        for failure in await failures_of(gmi):
            assert (failure.sent, failure.code) == (Sent.MAYBE, Code.UPSTREAM_TIMEOUT)
        assert asyncio.get_running_loop().time() - started < 2
        await until(lambda: gmi.in_flight == 0)


HEAD_OF_TEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "script",
    [
        sending(HEAD_OF_TEN + b'{"a":', then=Connection.reset),
        sending(HEAD_OF_TEN + b'{"a":1}'),
        sending(CHUNKED + b'7\r\n{"a":1}\r\n'),
        sending(CHUNKED + b"zz\r\n{}"),
    ],
    ids=["reset", "short", "chunked-without-end", "bad-chunk"],
)
async def test_up6_half_an_answer_is_no_answer(client: Connect, script: Script) -> None:
    async with ScriptedUpstream(script) as upstream:
        for failure in await failures_of(client(upstream.url)):
            assert failure.code is Code.UPSTREAM_INVALID
            assert failure.sent is not Sent.NEVER


@pytest.mark.parametrize(
    "page",
    [
        response(b"<html></html>", media_type="text/html"),
        response(b""),
        response(b"[]"),
        response(b"null"),
        response(b'{"a":1'),
        response(b'{"a":1} x'),
        response(b'{"a":1}', media_type="text/plain"),
        response(b"{}", "204 No Content").replace(b"{}", b"").replace(b"Content-Length: 2", b"Content-Length: 0"),
        response(b"{}", "202 Accepted"),
        response(b"{" * 100_000),
    ],
)
async def test_up7_a_200_that_is_no_json_object_is_invalid(client: Connect, page: bytes) -> None:
    async with ScriptedUpstream(answering(page)) as upstream:
        gmi = client(upstream.url)
        for asking in (gmi.get_model("default", "m"), gmi.create_request("default", BODY)):
            with pytest.raises(UpstreamFailure) as caught:
                await asking
            assert (caught.value.sent, caught.value.code) == (Sent.ANSWERED, Code.UPSTREAM_INVALID)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
async def test_up13_a_redirect_is_not_followed(client: Connect, status: int) -> None:
    async with ScriptedUpstream(answering(response())) as evil:
        for target in (evil.url, evil.url.removeprefix("http:"), "/elsewhere"):
            page = response(b"", f"{status} Moved", f"Location: {target}")
            async with ScriptedUpstream(answering(page)) as upstream:
                for failure in await failures_of(client(upstream.url)):
                    assert (failure.sent, failure.code) == (Sent.ANSWERED, Code.UPSTREAM_INVALID)
            assert len(upstream.requests) == 2
    assert evil.connections == []


async def _endless(connection: Connection) -> None:
    await connection.request()
    await connection.send(CHUNKED)
    while True:
        await connection.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n")


@pytest.mark.parametrize(
    "script",
    [
        _endless,
        sending(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000000000\r\n\r\n{"),
        answering(response(b"\x1f\x8b" + b"\0" * 100, "200 OK", "Content-Encoding: gzip")),
        answering(response(b"{}", "200 OK", *(f"X-{number}: 1" for number in range(10_000)))),
        answering(response(b"{}", "200 OK", "X-Long: " + "a" * 1_000_000)),
    ],
    ids=["endless", "10GB", "gzip", "many-headers", "long-header"],
)
async def test_up14_too_much_is_refused(client: Connect, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.answer.LARGEST_BODY", 8 * 1024**2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with ScriptedUpstream(script) as upstream:
        gmi = client(upstream.url)
        with pytest.raises(UpstreamFailure) as caught:
            await gmi.get_request("default", "r1")
    assert caught.value.code is Code.UPSTREAM_INVALID
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


async def _talkative(connection: Connection) -> None:
    """Answers, and a moment later says something nobody asked for."""
    while True:
        await connection.request()
        await connection.send(GOOD)
        await asyncio.sleep(0.02)
        await connection.send(SMUGGLED)


async def _two_at_once(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.send(GOOD + SMUGGLED)


async def _body_then_second(connection: Connection) -> None:
    """The first answer's head comes alone, so that its end and the second answer are read together."""
    while True:
        await connection.request()
        split = GOOD.index(b"\r\n\r\n") + 4
        await connection.send(GOOD[:split])
        await asyncio.sleep(0.02)
        await connection.send(GOOD[split:] + SMUGGLED)


async def _before_asked(connection: Connection) -> None:
    """Answers each question before it is asked, and so is always one answer ahead."""
    await connection.send(SMUGGLED)
    while True:
        await connection.request()
        await connection.send(GOOD)


@pytest.mark.parametrize(
    "script",
    [
        _two_at_once,
        _body_then_second,
        answering(GOOD + b"trailing bytes"),
        answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + GOOD),
        answering(GOOD.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length")),
        answering(GOOD.replace(b"Content-Length: 16", b"Content-Length: 12")),
        answering(GOOD.replace(b"Content-Length: 16", b"Content-Length: 16\r\nContent-Length: 17")),
    ],
    ids=["two", "two-late", "trailing", "hints", "te-and-cl", "short-length", "two-lengths"],
)
@pytest.mark.parametrize("wait", [0.0, 0.05])
async def test_sm10_no_call_gets_anothers_answer(client: Connect, script: Script, wait: float) -> None:
    async with ScriptedUpstream(script) as upstream:
        gmi = client(upstream.url)
        for _ in range(5):
            try:
                answer = await gmi.create_request("default", BODY)
            except UpstreamFailure as failure:
                assert failure.code in (Code.UPSTREAM_INVALID, Code.UPSTREAM_UNREACHABLE)  # noqa: PT017
            else:
                assert answer.body == b'{"whose":"mine"}'
            await asyncio.sleep(wait)


@pytest.mark.parametrize("script", [_talkative, _before_asked])
async def test_sm10_a_connection_that_speaks_unasked_is_not_used_again(client: Connect, script: Script) -> None:
    async with ScriptedUpstream(script) as upstream:
        gmi = client(upstream.url)
        for number in range(1, 5):
            with contextlib.suppress(UpstreamFailure):
                await gmi.create_request("default", BODY)
            await asyncio.sleep(0.05)
            assert len(upstream.connections) == number


async def test_sm10_bytes_the_loop_has_not_read_yet_are_noticed(client: Connect) -> None:
    """The unasked answer lies in the socket when the connection is taken up again."""
    async with ScriptedUpstream(answering(GOOD)) as upstream:
        gmi = client(upstream.url)
        await gmi.create_request("default", BODY)
        os.write(upstream.connections[0].writer.get_extra_info("socket").fileno(), SMUGGLED)
        answer = await gmi.create_request("default", BODY)
        assert answer.body == b'{"whose":"mine"}'
    assert len(upstream.connections) == 2


async def test_sm10_a_connection_that_answered_about_another_job_is_not_used_again(client: Connect) -> None:
    """The job's own answer is still to come on it, and would be taken for the create's."""

    async def out_of_step(connection: Connection) -> None:
        await connection.request()
        await connection.send(response(b'{"request_id":"another","status":"queued"}'))
        await connection.request()
        await connection.send(response(b'{"request_id":"mine","status":"queued"}'))
        await connection.hold()

    async with ScriptedUpstream(out_of_step, answering(GOOD)) as upstream:
        gmi = client(upstream.url)
        assert b"another" in (await gmi.get_request("default", "mine")).body
        assert (await gmi.create_request("default", BODY)).body == b'{"whose":"mine"}'
    assert [len(each.requests) for each in upstream.connections] == [1, 1]


async def test_a_connection_upstream_closed_is_not_used_for_a_create(client: Connect) -> None:
    async with ScriptedUpstream(sending(GOOD), answering(GOOD)) as upstream:
        gmi = client(upstream.url)
        await gmi.list_models("default")
        await asyncio.sleep(0.05)
        assert (await gmi.create_request("default", BODY)).status == 200
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("reset", [True, False])
async def test_ac1_a_create_broken_off_is_sent_once_and_in_doubt(client: Connect, *, reset: bool) -> None:
    script = sending(then=Connection.reset if reset else None)
    async with ScriptedUpstream(answering(GOOD), script) as upstream:
        gmi = client(upstream.url)
        await gmi.list_models("default")
        upstream.connections[0].reset()
        with pytest.raises(UpstreamFailure) as caught:
            await gmi.create_request("default", BODY)
        assert (caught.value.sent, caught.value.code) == (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE)
        await asyncio.sleep(0.05)
    assert [request.method for request in upstream.requests] == ["GET", "POST"]


async def test_a_read_broken_off_is_repeated_once_and_counted(client: Connect) -> None:
    async with ScriptedUpstream(sending(then=Connection.reset)) as upstream:
        gmi = client(upstream.url)
        with pytest.raises(UpstreamFailure) as caught:
            await gmi.get_request("default", "r1")
        assert caught.value.code is Code.UPSTREAM_UNREACHABLE
        with pytest.raises(UpstreamFailure):
            await gmi.delete_request("default", "r1")
    assert [request.method for request in upstream.requests] == ["GET", "GET", "DELETE"]


@pytest.mark.parametrize("what", ["read", "create"])
async def test_up16_callers_that_vanish_leave_nothing_behind(
    client: Connect, open_files: Callable[[], int], what: str
) -> None:
    async def slow(connection: Connection) -> None:
        while True:
            await connection.request()
            await asyncio.sleep(random.uniform(0, 0.02))
            await connection.send(GOOD)

    async with ScriptedUpstream(slow) as upstream:
        gmi = client(upstream.url, limits=Limits(timeout=5, create_timeout=5, in_flight=60))
        files, tasks = open_files(), len(asyncio.all_tasks())
        for _ in range(60):
            read, create = partial(gmi.get_request, "default", "r1"), partial(gmi.create_request, "default", BODY)
            waiting = [asyncio.ensure_future(read() if what == "read" else create()) for _ in range(50)]
            await asyncio.sleep(random.uniform(0, 0.02))
            for call in waiting:
                call.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: gmi.in_flight == 0)
        answers = [await gmi.get_request("default", f"r{number}") for number in range(10)]
        assert [answer.status for answer in answers] == [200] * 10
        assert gmi.in_flight == 0
        if what == "create":  # which goes on to its end, so that its connection serves again
            assert len(upstream.connections) <= 60
        await until(lambda: open_files() - files <= 2 * 60)
        assert len(asyncio.all_tasks()) - tasks <= 60


async def test_proxy_variables_and_netrc_are_not_obeyed(client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream(answering(GOOD)) as proxy, ScriptedUpstream(answering(GOOD)) as upstream:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        await client(upstream.url).list_models("default")
    assert proxy.connections == []


# --- as one of httpx's transports ----------------------------------------------------------------------------------


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """A transport of its own."""
    ours = build_transport(5)
    yield ours
    await ours.aclose()


async def test_httpx_requests_are_sent_as_they_are(transport: Transport) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"abc", b"", b"def"):
            yield part

    fields = [("Host", "storage.example"), ("X-A", "1"), ("X-A", "2"), ("Content-Length", "6")]
    async with ScriptedUpstream(answering(GOOD)) as upstream:
        request = httpx.Request("PUT", f"{upstream.url}/a%2Fb?c=%20d", headers=fields, content=parts())
        answer = await transport.handle_async_request(request)
        assert (answer.status_code, await answer.aread()) == (200, b'{"whose":"mine"}')
        assert answer.headers["content-type"] == "application/json"
        request = httpx.Request("GET", upstream.url, extensions={"target": b"/exactly?this"})
        await (await transport.handle_async_request(request)).aread()
    first, second = upstream.requests
    assert (first.method, first.target, first.body) == ("PUT", "/a%2Fb?c=%20d", b"abcdef")
    assert first.headers == tuple((name.lower(), value) for name, value in fields)
    assert second.target == "/exactly?this"
    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    ("url", "server_name", "origin"),
    [
        ("http://gmi.example/a", None, ("gmi.example", 80, "")),
        ("https://gmi.example", None, ("gmi.example", 443, "gmi.example")),
        ("https://192.0.2.1:8443/", "gmi.example", ("192.0.2.1", 8443, "gmi.example")),
        ("https://[2001:db8::1]", None, ("2001:db8::1", 443, "2001:db8::1")),
        ("http://192.0.2.1", "gmi.example", ("192.0.2.1", 80, "")),
        ("https://bücher.example", None, ("xn--bcher-kva.example", 443, "xn--bcher-kva.example")),
    ],
)
def test_whom_a_url_leads_to(url: str, server_name: str | None, origin: tuple[str, int, str]) -> None:
    assert origin_of(httpx.URL(url), server_name) == origin


@pytest.mark.parametrize("close", ["Connection: close", "X-Kept: 1"])
async def test_a_head_request_gets_no_body(transport: Transport, close: str) -> None:
    page = response(b"x" * 10, "200 OK", close).removesuffix(b"x" * 10)
    async with ScriptedUpstream(answering(page)) as upstream:
        for _ in range(2):
            answer = await transport.handle_async_request(httpx.Request("HEAD", upstream.url))
            assert (answer.headers["content-length"], await answer.aread()) == ("10", b"")
    assert len(upstream.connections) == 2


async def test_a_response_left_half_read_gives_up_its_connection(transport: Transport) -> None:
    async def generous(connection: Connection) -> None:
        await connection.request()
        await connection.send(response(b"x" * 5_000_000))
        await connection.hold()

    async with ScriptedUpstream(generous) as upstream:
        for number in range(1, 4):
            answer = await transport.handle_async_request(httpx.Request("GET", upstream.url))
            async for _ in answer.aiter_raw():
                break
            await answer.aclose()
            assert len(upstream.connections) == number
    assert "0 of 5 open" in repr(transport._pool)


async def test_an_answer_whose_body_is_refused_with_its_head_is_one_to_who_wants_the_head(transport: Transport) -> None:
    async with ScriptedUpstream(answering(GOOD + b"more")) as upstream:
        with pytest.raises(httpx.RemoteProtocolError):
            await transport.handle_async_request(httpx.Request("GET", upstream.url))
        extensions = {"head_suffices": True}
        answer = await transport.handle_async_request(httpx.Request("GET", upstream.url, extensions=extensions))
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
    assert "0 of 5 open" in repr(transport._pool)


@pytest.mark.parametrize(
    "request_",
    [
        httpx.Request("GET", "ftp://127.0.0.1/"),
        httpx.Request("GET", "/no-host"),
        httpx.Request("PUT", "http://127.0.0.1:1/", headers={"Transfer-Encoding": "gzip, chunked"}),
        httpx.Request("GET", "http://127.0.0.1:1/", headers={"X-A": "1\r\nX-B: 2"}),
        httpx.Request("GET", "http://127.0.0.1:1/", extensions={"target": b"/ HTTP/1.1\r\nX-B: 2\r\n\r\n"}),
    ],
    ids=["scheme", "host", "chunked", "header", "target"],
)
async def test_what_cannot_be_sent_is_refused_before_a_byte(transport: Transport, request_: httpx.Request) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await transport.handle_async_request(request_)


async def test_the_time_to_connect_is_the_requests(transport: Transport) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        with pytest.raises(httpx.ConnectTimeout):
            await transport.handle_async_request(httpx.Request("GET", url, extensions={"timeout": {"connect": 0.1}}))
