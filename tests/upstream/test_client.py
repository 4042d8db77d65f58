"""What leaves for upstream, what comes back, and how often each call is made."""

import asyncio
import base64
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from gateway.core.breaker import Circuit
from gateway.core.errors import Code
from gateway.upstream import connection as upstream_connection
from gateway.upstream.client import Limits, Sent, Trace, Upstream, UpstreamFailure
from gateway.upstream.intake import Reading
from gateway.upstream.reply import Reply
from tests.scripted_upstream import Connection, Received, Script, ScriptedUpstream, answering, response
from tests.upstream.conftest import KEY, Connect, until
from tests.upstream.test_spans import OneSpan

PREFIX = "/api/v1/ie/requestqueue/apikey"
MODELS = response(b'{"model_ids":["Veo3"]}')
BODY = b'{"model":"Veo3","payload":{"prompt":"x"}}'


async def failing(call: Callable[[], Awaitable[object]]) -> UpstreamFailure:
    """The failure a call ends in."""
    with pytest.raises(UpstreamFailure) as caught:
        await call()
    return caught.value


def exposed(gmi: Upstream) -> str:
    """The metrics as Prometheus reads them."""
    return gmi._metrics.render("")[0].decode()


async def test_a_create_carries_exactly_the_headers_of_the_list(client: Connect) -> None:
    async with ScriptedUpstream(answering(response(b'{"request_id":"r1"}'))) as upstream:
        trace = Trace("req-1", ((b"traceparent", b"00-aa-bb-01"), (b"tracestate", b"k=v")))
        answer = await client(upstream.url).create_request("two", BODY, trace)
    assert (answer.status, answer.body) == (200, b'{"request_id":"r1"}')
    sent = upstream.requests[0]
    assert (sent.method, sent.target, sent.body) == ("POST", f"{PREFIX}/requests", BODY)
    assert sorted(sent.headers) == sorted(
        [
            ("host", upstream.url.removeprefix("http://")),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", sent.header("user-agent") or ""),
            ("authorization", f"Bearer {KEY}"),
            ("x-organization-id", "org-63729242"),
            ("content-type", "application/json"),
            ("content-length", str(len(BODY))),
            ("traceparent", "00-aa-bb-01"),
            ("tracestate", "k=v"),
            ("x-request-id", "req-1"),
        ]
    )
    assert (sent.header("user-agent") or "").startswith("gmi-gateway/")


async def test_a_delete_is_tied_to_the_clients_call(client: Connect) -> None:
    async with ScriptedUpstream(answering(response())) as upstream:
        trace = Trace("req-1", ((b"traceparent", b"00-aa-bb-01"),))
        await client(upstream.url).delete_request("default", "7f3a-1_b", trace)
    sent = upstream.requests[0]
    assert (sent.method, sent.header("x-request-id"), sent.header("traceparent")) == ("DELETE", "req-1", "00-aa-bb-01")


async def test_every_operation_has_its_own_template(client: Connect) -> None:
    async with ScriptedUpstream(answering(response(b'{"request_id":"7f3a-1_b"}'))) as upstream:
        gmi = client(upstream.url)
        await gmi.list_models("default")
        await gmi.get_model("default", "Veo3")
        await gmi.create_request("default", BODY)
        await gmi.get_request("default", "7f3a-1_b")
        await gmi.list_requests("default", "a b", 200, 400)
        await gmi.list_requests("default", None, 1, 0)
        await gmi.delete_request("default", "7f3a-1_b")
        await gmi.upload_url("default", b'{"file_type":"png"}')
    assert [(request.method, request.target.removeprefix(PREFIX)) for request in upstream.requests] == [
        ("GET", "/models"),
        ("GET", "/models/Veo3"),
        ("POST", "/requests"),
        ("GET", "/requests/7f3a-1_b"),
        ("GET", "/requests?limit=200&offset=400&model_id=a%20b"),
        ("GET", "/requests?limit=1&offset=0"),
        ("DELETE", "/requests/7f3a-1_b"),
        ("POST", "/upload-url"),
    ]
    assert all(request.header("x-organization-id") is None for request in upstream.requests)
    assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    ("model", "segment"),
    [
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a%20b", "a%2520b"),
        ("a/b", "a%2Fb"),
        ("../models", "..%2Fmodels"),
        ("...", "..."),
        ("a?b#c", "a%3Fb%23c"),
        ("ü;:@&=$,'!*()", "%C3%BC%3B%3A%40%26%3D%24%2C%27%21%2A%28%29"),
        ("A-Z_a.z~0", "A-Z_a.z~0"),
    ],
)
async def test_pa6_model_ids_are_encoded_once(client: Connect, model: str, segment: str) -> None:
    async with ScriptedUpstream(answering(response())) as upstream:
        await client(upstream.url).get_model("default", model)
    assert upstream.requests[0].target == f"{PREFIX}/models/{segment}"


@pytest.mark.parametrize("model", ["", ".", "..", "x" * 600])
async def test_pa1_a_model_id_that_would_climb_is_never_sent(client: Connect, model: str) -> None:
    async with ScriptedUpstream(answering(response())) as upstream:
        with pytest.raises(ValueError, match="not a model id"):
            await client(upstream.url).get_model("default", model)
    assert upstream.connections == []


@pytest.mark.parametrize("request_id", ["", "..", ".", "%2e%2e", "a/b", "a b", "-a", "x" * 129, "é", "a\n"])
async def test_pa1_a_request_id_that_is_none_is_never_sent(client: Connect, request_id: str) -> None:
    async with ScriptedUpstream(answering(response())) as upstream:
        gmi = client(upstream.url)
        for call in (gmi.get_request, gmi.delete_request):
            with pytest.raises(ValueError, match="not a request id"):
                await call("default", request_id)
    assert upstream.connections == []


async def test_hd4_only_end_to_end_headers_come_back(client: Connect) -> None:
    fields = [
        "Keep-Alive: timeout=5",
        "Connection: keep-alive, X-Foo",
        "X-Foo: hop",
        "Proxy-Authenticate: Basic",
        "Trailer: X-T",
        "TE: trailers",
        "Server: nginx",
        "Set-Cookie: a=b",
        "Strict-Transport-Security: max-age=1",
        "Access-Control-Allow-Origin: *",
        "Alt-Svc: h3=1",
        "X-Organization-ID: org-63729242",
        "Authorization: Basic x",
        "CF-Ray: 1",
        "Via: 1.1 google",
        "Date: Mon, 23 Nov 2026 00:00:00 GMT",
        "Cache-Control: no-cache",
        'ETag: "v1"',
        "X-Bar: kept",
    ]
    async with ScriptedUpstream(answering(response(b'{"a":1}', "200 OK", *fields))) as upstream:
        answer = await client(upstream.url).list_models("default")
    assert answer.body == b'{"a":1}'
    assert answer.headers == (
        (b"content-type", b"application/json"),
        (b"x-bar", b"kept"),
    )


async def test_hd5_no_cookie_is_kept(client: Connect) -> None:
    async with ScriptedUpstream(answering(response(b"{}", "200 OK", "Set-Cookie: who=A; Path=/"))) as upstream:
        gmi = client(upstream.url)
        await gmi.list_models("default")
        await gmi.list_models("two")
    assert [request.header("cookie") for request in upstream.requests] == [None, None]


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "402 Payment Required", "422 No", "500 Oops"])
async def test_up11_up12_errors_of_upstream_are_answers(client: Connect, status: str) -> None:
    body = b"<html>anything</html>"
    async with ScriptedUpstream(answering(response(body, status, media_type="application/json"))) as upstream:
        answer = await client(upstream.url).create_request("default", BODY)
    assert (answer.status, answer.body) == (int(status[:3]), body)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [("502 A", "unavailable"), ("503 B", "unavailable"), ("504 C", "unavailable"), ("500 D", "edge_error")],
)
async def test_up8_a_read_is_asked_again_once(client: Connect, status: str, reason: str) -> None:
    page = response(b"<html>busy</html>", status, media_type="text/html")
    async with ScriptedUpstream(answering(page)) as upstream:
        gmi = client(upstream.url)
        answer = await gmi.get_request("default", "r1")
        assert answer.body == b"<html>busy</html>"
        assert len(upstream.requests) == 2
        again = await gmi.get_request("default", "r1")
    assert again.status == int(status[:3])
    assert len(upstream.requests) == 3, "the second repeat within ten calls is not in the budget"
    assert f'upstream_retries_total{{operation="get_request",reason="{reason}"}} 1.0' in exposed(gmi)


async def test_up8_the_second_answer_is_the_one_that_counts(client: Connect) -> None:
    async with ScriptedUpstream(answering(response(b"busy", "503 X", media_type="text/plain"), MODELS)) as upstream:
        answer = await client(upstream.url).list_models("default")
    assert answer.status == 200
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("status", ["500 A", "502 B", "503 C", "504 D"])
@pytest.mark.parametrize("operation", ["create_request", "upload_url"])
async def test_up8_a_post_is_never_repeated(client: Connect, status: str, operation: str) -> None:
    async with ScriptedUpstream(answering(response(b"busy", status, media_type="text/html"))) as upstream:
        answer = await getattr(client(upstream.url), operation)("default", BODY)
    assert answer.status == int(status[:3])
    assert len(upstream.requests) == 1


async def test_up9_the_next_key_is_tried_and_kept(client: Connect) -> None:
    async def only_second(connection: Connection) -> None:
        while True:
            request = await connection.request()
            refused = response(b'{"error":"no"}', "401 Unauthorized", "WWW-Authenticate: Bearer")
            await connection.send(MODELS if request.header("authorization") == "Bearer the-other-key" else refused)

    async with ScriptedUpstream(only_second) as upstream:
        gmi = client(upstream.url)
        answer = await gmi.create_request("two", BODY)
        assert answer.status == 200
        assert [request.header("authorization") for request in upstream.requests] == [
            f"Bearer {KEY}",
            "Bearer the-other-key",
        ]
        await gmi.list_models("two")
    assert upstream.requests[2].header("authorization") == "Bearer the-other-key"
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_up9_a_refused_key_is_not_the_callers_401(client: Connect, status: str) -> None:
    async with ScriptedUpstream(answering(response(b"{}", status))) as upstream:
        gmi = client(upstream.url)
        failure = await failing(lambda: gmi.get_request("two", "r1"))
    assert failure.code is Code.UPSTREAM_CREDENTIALS_REJECTED
    assert ("organisation" in failure.message) == status.startswith("403")
    refusal = failure.as_refusal()
    assert (refusal.status, refusal.headers) == (502, ())
    assert len(upstream.requests) == 2
    assert 'gateway_upstream_key_refused{credential="two"} 1.0' in exposed(gmi)


async def test_what_is_wrong_with_a_credential_is_said_once_a_minute_of_each(
    client: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    async with ScriptedUpstream(answering(response(b"{}", "401 Unauthorized"))) as upstream:
        gmi = client(upstream.url, ticks=clock)
        for _ in range(3):
            for credential in ("two", "none", "undefined"):
                await failing(partial(gmi.list_models, credential))
        said = [(record.getMessage(), record.__dict__["fields"]) for record in caplog.records]
        clock.now += 60.0
        await failing(lambda: gmi.list_models("two"))
    assert said == [
        ("upstream refused a key", {"credential": "two", "status": 401}),
        ("no upstream key can be read", {"credential": "none"}),
        ("no upstream key can be read", {"credential": "undefined"}),
    ]
    assert len(caplog.records) == len(said) + 1


@pytest.mark.parametrize("credential", ["none", "undefined"])
async def test_without_a_key_nothing_is_sent(client: Connect, credential: str) -> None:
    async with ScriptedUpstream(answering(MODELS)) as upstream:
        gmi = client(upstream.url)
        failure = await failing(lambda: gmi.create_request(credential, BODY))
    assert (failure.sent, failure.code) == (Sent.NEVER, Code.UPSTREAM_CREDENTIALS_REJECTED)
    assert f'gateway_upstream_key_refused{{credential="{credential}"}} 1.0' in exposed(gmi)
    assert upstream.connections == []


@pytest.mark.parametrize(
    "leak",
    [
        f'{{"error":"bad key {KEY}"}}'.encode(),
        b'{"error":"%s"}' % base64.b64encode(b"Bearer " + KEY.encode()),
        b'{"error":"%s"}' % base64.b64encode(b"x" + KEY.encode() + b"y"),
        b'{"error":{"%s":1}}' % "".join(f"\\u{ord(character):04X}" for character in KEY).encode(),
        b'{"error":["%s"]}' % KEY.replace("k", "\\u006b").encode(),
    ],
)
async def test_se2_an_answer_with_our_key_is_withheld(client: Connect, leak: bytes) -> None:
    async def split(connection: Connection) -> None:
        await connection.request()
        await connection.drip(response(leak, "400 Bad Request"), 0.0001)

    async with ScriptedUpstream(split) as upstream:
        gmi = client(upstream.url)
        failure = await failing(lambda: gmi.create_request("default", BODY))
    assert (failure.sent, failure.code) == (Sent.ANSWERED, Code.UPSTREAM_INVALID)
    assert KEY not in f"{failure!r} {failure.__cause__!r} {gmi!r}"


async def test_se2_our_key_in_a_header_is_withheld_too(client: Connect) -> None:
    async with ScriptedUpstream(answering(response(b"{}", "200 OK", f"X-Debug: key={KEY}"))) as upstream:
        gmi = client(upstream.url)
        assert (await failing(lambda: gmi.list_models("default"))).code is Code.UPSTREAM_INVALID


@pytest.mark.parametrize("text", ["30", "3", " 7 "])
async def test_up10_a_plain_retry_after_is_kept(client: Connect, text: str) -> None:
    await _expect_retry_after(client, f"Retry-After: {text}", b"{}", text.strip().encode())


@pytest.mark.parametrize(
    ("field", "body", "expected"),
    [
        ("Retry-After: 1000000000", b"{}", b"300"),
        ("Retry-After: -1", b"{}", b"1"),
        ("Retry-After: garbage", b"{}", b"5"),
        ("Retry-After: Mon, 23 Nov 2026 00:00:40 GMT", b"{}", b"40"),
        ("X-None: 1", b'{"error":"slow","rate_limit":{"retry_after_ms":29970}}', b"30"),
        ("Retry-After: garbage", b'{"rate_limit":{"retry_after_ms":1}}', b"1"),
        ("X-None: 1", b'{"rate_limit":"?"}', b"5"),
        ("X-None: 1", b"<html>", b"5"),
    ],
)
async def test_up10_retry_after_is_added_or_clamped(client: Connect, field: str, body: bytes, expected: bytes) -> None:
    await _expect_retry_after(client, field, body, expected)


async def _expect_retry_after(client: Connect, field: str, body: bytes, expected: bytes) -> None:
    page = response(body, "429 Too Many Requests", field, "Date: Mon, 23 Nov 2026 00:00:00 GMT")
    async with ScriptedUpstream(answering(page)) as upstream:
        answer = await client(upstream.url).create_request("default", BODY)
    assert (answer.status, answer.body) == (429, body)
    assert [value for name, value in answer.headers if name == b"retry-after"] == [expected]


async def test_ac3_a_call_goes_on_when_its_caller_goes_away(client: Connect) -> None:
    asked, go = asyncio.Event(), asyncio.Event()
    answered = asyncio.Event()

    async def patient(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await go.wait()
        await connection.send(MODELS)
        answered.set()
        await connection.hold()

    async with ScriptedUpstream(patient) as upstream:
        gmi = client(upstream.url)
        waiting = asyncio.ensure_future(gmi.create_request("default", BODY))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert gmi.in_flight == 1
        go.set()
        await answered.wait()
        await until(lambda: gmi.in_flight == 0)
    assert 'upstream_requests_total{code="200",operation="create_request"} 1.0' in exposed(gmi)


async def test_only_what_changes_nothing_waits_for_company(client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[str, bool]] = []
    begin = upstream_connection.Connection.begin

    def noting(self: upstream_connection.Connection, head: bytes, **options: bool) -> Reply:
        begun.append((head.split()[0].decode(), options.get("patient", False)))
        return begin(self, head, **options)

    monkeypatch.setattr(upstream_connection.Connection, "begin", noting)
    async with ScriptedUpstream(answering(response(b'{"request_id":"r1"}'))) as upstream:
        gmi = client(upstream.url)
        for _ in range(2):  # the first time, connecting keeps them apart
            reads = [gmi.get_request("default", f"r{number}") for number in range(3)]
            changes = [gmi.delete_request("default", "r1"), gmi.create_request("default", BODY)]
            await asyncio.gather(*reads, *changes)
    assert set(begun[5:]) >= {("GET", True), ("DELETE", False), ("POST", False)}
    assert not {("DELETE", True), ("POST", True)} & set(begun)


async def test_more_calls_than_allowed_are_refused_at_once(client: Connect) -> None:
    async def silent(connection: Connection) -> None:
        await connection.hold()

    async with ScriptedUpstream(silent) as upstream:
        gmi = client(upstream.url, limits=Limits(timeout=5, create_timeout=5, in_flight=10))
        waiting = [asyncio.ensure_future(gmi.get_request("default", f"r{number}")) for number in range(9)]
        await until(lambda: gmi.in_flight == 9)
        read = await failing(lambda: gmi.list_models("default"))
        assert (read.sent, read.code, read.as_refusal().retry_after) == (Sent.NEVER, Code.OVERLOADED, 1)
        waiting.append(asyncio.ensure_future(gmi.create_request("default", BODY)))
        await until(lambda: gmi.in_flight == 10)
        create = await failing(lambda: gmi.create_request("default", BODY))
        assert (create.sent, create.code) == (Sent.NEVER, Code.OVERLOADED)
        await gmi.close()
        *reads, create_end = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, UpstreamFailure) for end in reads)
        assert isinstance(create_end, asyncio.CancelledError)
        assert gmi.in_flight == 0


class Clock:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def _open_circuit(gmi: Upstream) -> None:
    for _ in range(10):
        await failing(lambda: gmi.upload_url("default", b"{}"))
    assert gmi.circuits.of("default").state is Circuit.OPEN


async def _reset_at_once(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def test_what_fails_for_one_team_alone_is_not_refused_to_another(client: Connect) -> None:
    async with ScriptedUpstream(*[_reset_at_once] * 11, answering(MODELS)) as upstream:
        gmi = client(upstream.url, ticks=Clock())
        for _ in range(10):
            await failing(lambda: gmi.create_request("default", BODY, team="a"))
        assert (await failing(lambda: gmi.get_request("default", "r1", "a"))).code is Code.UPSTREAM_CIRCUIT_OPEN
        assert (await gmi.get_request("default", "r1", "b")).status == 200, "tried twice"
        assert (await gmi.list_models("default")).status == 200
        assert (await failing(lambda: gmi.get_request("default", "r1", "a"))).code is Code.UPSTREAM_CIRCUIT_OPEN
        assert 'upstream_circuit_state{state="open"} 1.0' in exposed(gmi)


async def test_up15_ten_failures_open_the_circuit_and_a_probe_closes_it(client: Connect) -> None:
    scripts = [_reset_at_once] * 10 + [answering(MODELS)]
    clock = Clock()
    async with ScriptedUpstream(*scripts) as upstream:
        gmi = client(upstream.url, ticks=clock)
        await _open_circuit(gmi)
        refused = await failing(lambda: gmi.get_request("default", "r1"))
        assert (refused.sent, refused.code) == (Sent.NEVER, Code.UPSTREAM_CIRCUIT_OPEN)
        assert refused.as_refusal().retry_after == 2
        assert len(upstream.connections) == 10
        assert 'upstream_circuit_state{state="open"} 1.0' in exposed(gmi)
        clock.now += 5
        await gmi.get_request("default", "r1")
        assert gmi.circuits.of("default").state is Circuit.CLOSED
    assert len(upstream.requests) == 11


async def test_up15_the_circuit_of_one_credential_holds_up_no_other(client: Connect) -> None:
    async with ScriptedUpstream(*[_reset_at_once] * 10, answering(MODELS)) as upstream:
        gmi = client(upstream.url)
        await _open_circuit(gmi)
        assert (await failing(lambda: gmi.list_models("default"))).code is Code.UPSTREAM_CIRCUIT_OPEN
        assert (await gmi.create_request("two", BODY)).status == 200


async def test_up15_a_create_sends_a_read_ahead_as_the_probe(client: Connect) -> None:
    scripts = [_reset_at_once] * 10 + [answering(MODELS)]
    clock = Clock()
    async with ScriptedUpstream(*scripts) as upstream:
        gmi = client(upstream.url, ticks=clock)
        await _open_circuit(gmi)
        clock.now += 5
        assert (await gmi.create_request("default", BODY)).status == 200
    assert [request.method for request in upstream.requests[10:]] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("probe", "code"),
    [
        (_reset_at_once, Code.UPSTREAM_UNREACHABLE),
        (answering(response(b'{"error":"x"}', "503 B")), Code.UPSTREAM_CIRCUIT_OPEN),
    ],
    ids=["reset", "503"],
)
async def test_up15_a_create_whose_probe_fails_was_never_sent(client: Connect, probe: Script, code: Code) -> None:
    clock = Clock()
    async with ScriptedUpstream(*[_reset_at_once] * 10, probe) as upstream:
        gmi = client(upstream.url, ticks=clock)
        await _open_circuit(gmi)
        clock.now += 5
        failure = await failing(lambda: gmi.create_request("default", BODY))
        assert (failure.sent, failure.code) == (Sent.NEVER, code)
        assert gmi.circuits.of("default").state is Circuit.OPEN
    assert all(request.target != f"{PREFIX}/requests" for request in upstream.requests)


async def test_a_creates_own_500_says_nothing_about_upstream_as_a_whole(client: Connect) -> None:
    async with ScriptedUpstream(answering(response(b'{"error":"capacity"}', "503 X"))) as upstream:
        gmi = client(upstream.url)
        for _ in range(12):
            await gmi.create_request("default", BODY)
        assert gmi.circuits.of("default").state is Circuit.CLOSED


@pytest.mark.parametrize("status", ["502 A", "503 B", "504 C"])
async def test_up15_a_create_among_failing_reads_does_not_vouch_for_upstream(client: Connect, status: str) -> None:
    async with ScriptedUpstream(answering(response(b'{"error":"x"}', status))) as upstream:
        gmi = client(upstream.url)
        for number in range(10):
            await gmi.get_request("default", "r1")
            if number == 5:
                await gmi.create_request("default", BODY)
        assert gmi.circuits.of("default").state is Circuit.OPEN


@pytest.mark.parametrize(
    "probe", [_reset_at_once, answering(response(b'{"error":"x"}', "503 B"))], ids=["reset", "503"]
)
async def test_up15_the_probe_is_a_single_call(client: Connect, probe: Script) -> None:
    clock = Clock()
    async with ScriptedUpstream(*[_reset_at_once] * 10, probe) as upstream:
        gmi = client(upstream.url, ticks=clock)
        await _open_circuit(gmi)
        clock.now += 5
        with suppress(UpstreamFailure):
            await gmi.get_request("default", "r1")
        assert gmi.circuits.of("default").state is Circuit.OPEN
    assert len(upstream.requests) == 11


@pytest.mark.parametrize(
    ("status", "circuit"),
    [("500 Oops", Circuit.CLOSED), ("502 A", Circuit.OPEN), ("503 B", Circuit.OPEN), ("504 C", Circuit.OPEN)],
)
async def test_up15_a_500_to_a_read_is_an_answer_and_only_unavailability_is_an_outage(
    client: Connect, status: str, circuit: Circuit
) -> None:
    async with ScriptedUpstream(answering(response(b'{"error":"x"}', status))) as upstream:
        gmi = client(upstream.url)
        for _ in range(10):
            assert (await gmi.get_request("default", "r1")).status == int(status[:3])
        assert gmi.circuits.of("default").state is circuit


LARGE = [b'{"a":"%s"}' % (b"%d" % number * 600_000) for number in range(6)]
FEW = Limits(timeout=5, create_timeout=5, in_flight=50, answers=500_000)


def _body_of(request: Received) -> bytes:
    """The answer to a create or a read that names one of `LARGE` in its last digit."""
    return LARGE[int((request.body or request.target.encode())[-1:])]


async def _talkative(connection: Connection) -> None:
    while True:
        await connection.send(response(_body_of(await connection.request())))


async def _stalling(connection: Connection) -> None:
    """Stops in the middle of the answer to what names the first of `LARGE`, at 400 000 bytes."""
    while True:
        body = _body_of(await connection.request())
        if body is LARGE[0]:
            await connection.send(response(body)[:400_000])
            await asyncio.sleep(60)
        await connection.send(response(body))


async def test_rs5_answers_to_creates_wait_with_upstream_until_there_is_memory(client: Connect) -> None:
    async with ScriptedUpstream(_talkative) as upstream:
        gmi = client(upstream.url, limits=FEW)
        answers = await asyncio.gather(*(gmi.create_request("default", b"%d" % number) for number in range(6)))
        assert [answer.body for answer in answers] == LARGE


async def test_rs5_reads_that_find_no_memory_are_refused_and_say_nothing_of_upstream(client: Connect) -> None:
    async with ScriptedUpstream(_stalling) as upstream:
        gmi = client(upstream.url, limits=FEW)
        create = asyncio.ensure_future(gmi.create_request("default", b"0"))
        await until(lambda: gmi._under_way.intake._held > 300_000)
        for _ in range(12):
            failure = await failing(lambda: gmi.get_request("default", "r1"))
            assert (failure.sent, failure.code, failure.as_refusal().retry_after) == (Sent.ANSWERED, Code.OVERLOADED, 1)
        assert gmi.circuits.of("default").state is Circuit.CLOSED
        create.cancel()


async def test_rs5_a_read_larger_than_the_memory_for_answers_comes_in_alone(client: Connect) -> None:
    async with ScriptedUpstream(_talkative) as upstream:
        gmi = client(upstream.url, limits=FEW)
        assert [(await gmi.get_request("default", f"r{number}")).body for number in range(6)] == LARGE


async def test_rs5_a_create_whose_answer_stalls_holds_up_no_other(
    client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.intake.PATIENCE", 0.1)
    async with ScriptedUpstream(_stalling) as upstream:
        gmi = client(upstream.url, limits=FEW)
        stalled = asyncio.ensure_future(gmi.create_request("default", b"0"))
        await until(lambda: gmi._under_way.intake._held > 300_000)
        async with asyncio.timeout(3):
            others = (gmi.create_request("default", b"%d" % number) for number in range(1, 6))
            answers = await asyncio.gather(*others)
        assert [answer.body for answer in answers] == LARGE[1:]
        stalled.cancel()


async def test_rs5_a_create_whose_time_ends_while_it_waits_for_memory_says_nothing_of_upstream(
    client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedUpstream(_stalling) as upstream:
        gmi = client(upstream.url, limits=Limits(timeout=5, create_timeout=0.3, in_flight=50, answers=500_000))
        noted: list[bool] = []
        monkeypatch.setattr(gmi.circuits, "note", lambda *_, works: noted.append(works))
        assert (await failing(lambda: gmi.create_request("default", b"0"))).code is Code.UPSTREAM_TIMEOUT
        assert noted == [False]
        other = Reading(may_wait=True)
        gmi._under_way.intake.take(other, 1_000_000)
        await gmi._under_way.intake.wait(other)
        failure = await failing(lambda: gmi.create_request("default", b"1"))
        assert (failure.sent, failure.code, noted) == (Sent.MAYBE, Code.UPSTREAM_TIMEOUT, [False])
        gmi._under_way.intake.end(other)
        assert (await gmi.create_request("default", b"1")).body == LARGE[1]


async def test_up14_an_answer_that_is_refused_is_gone_at_once(client: Connect) -> None:
    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                await connection.send(bytes(1024**2))

    async with ScriptedUpstream(endless) as upstream:
        gmi = client(upstream.url)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            with suppress(UpstreamFailure):  # what pytest keeps of a failure would keep the answer as well
                await gmi.list_models("default")
            await until(lambda: tracemalloc.get_traced_memory()[0] < 16 * 1024**2)
        finally:
            tracemalloc.stop()
            gc.enable()


async def test_se2_our_key_is_withheld_that_chunks_of_one_read_have_cut_in_two(client: Connect) -> None:
    first, second = b'{"error":"' + KEY[:20].encode(), KEY[20:].encode() + b'"}'
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (first, second, b""))
    async with ScriptedUpstream(answering(head + chunks)) as upstream:
        gmi = client(upstream.url)
        failure = await failing(lambda: gmi.create_request("default", BODY))
    assert failure.code is Code.UPSTREAM_INVALID


@pytest.mark.parametrize("operation", ["get_request", "create_request"])
async def test_up5_a_call_that_ran_out_of_time_is_counted_and_traced_as_that(client: Connect, operation: str) -> None:
    spans = OneSpan()
    async with ScriptedUpstream(_never_answering) as upstream:
        gmi = client(upstream.url, limits=Limits(timeout=0.1, create_timeout=0.1, in_flight=50))
        gmi.traces = spans
        subject = BODY if operation == "create_request" else "r1"
        failure = await failing(lambda: getattr(gmi, operation)("default", subject))
    assert (failure.sent, failure.code) == (Sent.MAYBE, Code.UPSTREAM_TIMEOUT)
    assert f'upstream_requests_total{{code="upstream_timeout",operation="{operation}"}} 1.0' in exposed(gmi)
    assert spans.ended[2] == "upstream_timeout"


async def test_a_call_whose_asker_went_away_is_counted_as_cancelled(client: Connect) -> None:
    async with ScriptedUpstream(_never_answering) as upstream:
        gmi = client(upstream.url)
        waiting = asyncio.ensure_future(gmi.get_request("default", "r1"))
        await until(lambda: len(upstream.requests) == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert 'upstream_requests_total{code="cancelled",operation="get_request"} 1.0' in exposed(gmi)


async def _never_answering(connection: Connection) -> None:
    await connection.request()
    await connection.hold()


async def test_up14_a_listing_or_a_detail_too_large_to_be_looked_through_is_refused(client: Connect) -> None:
    models = response(b'{"model_ids":["%s"]}' % b'","'.join(b"%d" % number for number in range(200_000)))
    async with ScriptedUpstream(answering(models)) as upstream:
        gmi = client(upstream.url)
        for call in (gmi.list_models("default"), gmi.get_model("default", "Veo3")):
            with pytest.raises(UpstreamFailure) as refused:
                await call
            assert (refused.value.sent, refused.value.code) == (Sent.ANSWERED, Code.UPSTREAM_INVALID)
        assert (await gmi.get_request("default", "r1")).status == 200
