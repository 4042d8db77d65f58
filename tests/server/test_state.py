"""What a listener remembers of its connections: everything while they live, nothing after."""

import asyncio
from dataclasses import dataclass
from typing import cast

from gateway.server.deadlines import NEVER
from gateway.server.limits import ConnectionLimits
from gateway.server.protocol import HardenedProtocol
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


@dataclass(eq=False)
class Connection:
    """One that fell idle at some time, and may be cut off."""

    idle_since: float = NEVER
    is_cut: bool = False

    def cut_off(self) -> bool:
        self.is_cut = True
        return False


async def test_rs2_however_many_are_busy_a_newcomer_makes_little_work_and_an_idle_one_is_found() -> None:
    limits = ConnectionLimits(connections=1000)
    state = ListenerState(App(), limits, render, asyncio.get_running_loop())
    all_of_them = [Connection() for _ in range(1000)]
    all_of_them[500].idle_since, all_of_them[510].idle_since = 2.0, 1.0
    state.connections.update(dict.fromkeys(cast("list[HardenedProtocol]", all_of_them)))
    turned_away = 0
    while not state.make_room():
        turned_away += 1
    assert turned_away < 8  # 64 are looked at each time
    assert [number for number, each in enumerate(all_of_them) if each.is_cut] == [510]
    assert len(state.connections) == 999
    assert state.make_room()


def test_a_status_has_its_phrase_if_it_has_one() -> None:
    assert STATUS_LINES[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert STATUS_LINES[599] == b"HTTP/1.1 599 \r\n"
