"""What a listener remembers of its connections: everything while they live, nothing after."""

import asyncio

from gateway.server.limits import ConnectionLimits
from gateway.server.state import STATUS_LINES, ListenerState
from tests.server.conftest import App, Connect, Serve, get, parse, post, render, talk, until


async def test_a_refusal_is_a_whole_response_that_closes() -> None:
    state = ListenerState(App(), ConnectionLimits(), render, asyncio.get_running_loop())
    state.date_line = b"date: now\r\n"
    (answer,) = parse(state.refusal("uri_too_long", "Shorter, please."))
    assert (answer.status, answer.code, answer.closes) == (414, "uri_too_long", True)
    assert answer.headers["date"] == "now"
    assert answer.headers["x-request-id"] == "r1"


async def test_rs3_nothing_is_left_after_many_endings(serve: Serve, connect: Connect) -> None:
    listener = await serve()
    for sent in (get("/", "Connection: close"), get("*"), get("/fail"), post("/early", "Content-Length: 9"), b"GET"):
        await talk(listener, sent)
    gone = await connect(listener)
    await gone.send(get("/wait")[:30])
    gone.writer.transport.abort()
    await until(lambda: not listener._state.connections and not listener._state.tasks)


def test_a_status_has_its_phrase_if_it_has_one() -> None:
    assert STATUS_LINES[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert STATUS_LINES[599] == b"HTTP/1.1 599 \r\n"
