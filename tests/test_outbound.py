"""Calls to hosts that teams name: to a checked address, under the host's own name, and no further."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from gateway import outbound
from gateway.core.addresses import Target
from gateway.outbound import (
    AT_ONCE,
    AT_ONCE_PER_HOST,
    AT_ONCE_PER_TEAM,
    AT_ONCE_PER_TEAM_AND_HOST,
    Endpoint,
    Outbound,
    OutboundFailure,
    Outside,
)
from gateway.upstream.transport import build_transport
from tests.receiver import HOST, certificates, outside, port_of, tls
from tests.scripted_upstream import Connection, ScriptedUpstream, answering, response
from tests.served import eventually

__all__ = ["certificates"]

TARGET = Target(HOST, "/in/../a?b=c%2Bd%2F")
Open = Callable[[Outside], Outbound]


@pytest.fixture
async def open_outbound(certificates: Path) -> AsyncIterator[Open]:
    trusted = ssl.create_default_context(cafile=certificates / "root.pem")
    opened = []

    def open_(world: Outside) -> Outbound:
        made = Outbound(partial(build_transport, 1, trusted), world)
        opened.append(made)
        return made

    yield open_
    for made in opened:
        made.close()


async def test_ss2_the_checked_address_is_called_under_the_hosts_name(certificates: Path, open_outbound: Open) -> None:
    names: list[str | None] = []
    context = tls(certificates)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with ScriptedUpstream(answering(response()), tls=context) as receiver:
        assert (await open_outbound(outside(receiver)).post(TARGET, {"X-A": "b"}, b"{}")).status_code == 200
    (request,) = receiver.requests
    assert names == [HOST]
    assert (request.method, request.target, request.body) == ("POST", "/in/../a?b=c%2Bd%2F", b"{}")
    assert request.header("host") == HOST
    assert {name for name, _ in request.headers} <= {
        *("host", "accept-encoding", "connection", "content-length", "x-a"),
    }


async def test_tls_is_verified_against_the_hosts_name(certificates: Path, open_outbound: Open) -> None:
    async with ScriptedUpstream(answering(response()), tls=tls(certificates, "other.example.org")) as receiver:
        calls = open_outbound(outside(receiver))
        with pytest.raises(OutboundFailure, match="no valid certificate for its name"):
            await calls.post(TARGET, {}, b"{}")
        assert (await calls.post(Target("other.example.org", "/"), {}, b"{}")).status_code == 200


async def test_a_certificate_that_is_not_trusted_is_told_apart_from_no_connection(
    certificates: Path, open_outbound: Open
) -> None:
    async with ScriptedUpstream(answering(response()), tls=tls(certificates, "other.example.org")) as receiver:
        calls = open_outbound(outside(receiver))
        with pytest.raises(OutboundFailure) as untrusted:
            await calls.post(TARGET, {}, b"{}")
    with pytest.raises(OutboundFailure) as gone:
        await calls.post(TARGET, {}, b"{}")
    assert (str(untrusted.value), str(gone.value)) == ("no valid certificate for its name", "no connection")


async def test_no_connection_of_one_host_serves_another(certificates: Path, open_outbound: Open) -> None:
    async with ScriptedUpstream(answering(response()), tls=tls(certificates)) as receiver:
        calls = open_outbound(outside(receiver))
        for _ in range(2):
            await calls.post(TARGET, {}, b"{}")
        with pytest.raises(OutboundFailure):
            await calls.post(Target("other.example.org", "/"), {}, b"{}")
    assert [len(connection.requests) for connection in receiver.connections[:2]] == [1, 1]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["64:ff9b::7f00:1"], ["::ffff:10.0.0.1"]]
)
async def test_ss2_a_name_with_an_address_that_is_not_public_is_never_called(
    certificates: Path, open_outbound: Open, addresses: list[str]
) -> None:
    async with ScriptedUpstream(answering(response()), tls=tls(certificates)) as receiver:
        places = [Endpoint(address, port_of(receiver)) for address in addresses]
        with pytest.raises(OutboundFailure, match="an address that is not public"):
            await open_outbound(Outside(lambda _: places)).post(TARGET, {}, b"{}")
    assert receiver.connections == []


async def test_a_name_is_resolved_once(certificates: Path, open_outbound: Open) -> None:
    asked: list[str] = []
    async with ScriptedUpstream(answering(response()), tls=tls(certificates)) as receiver:
        world = outside(receiver)

        def rebinding(host: str) -> Sequence[Endpoint]:
            asked.append(host)
            return world.resolve(host) if len(asked) == 1 else [Endpoint("10.0.0.1", 443)]

        assert (await open_outbound(Outside(rebinding, world.permits)).post(TARGET, {}, b"{}")).status_code == 200
    assert asked == [HOST]


@pytest.mark.parametrize("fault", [socket.gaierror("no such name"), UnicodeError("label too long"), None])
async def test_a_name_without_an_address_is_a_failure(open_outbound: Open, fault: Exception | None) -> None:
    def resolve(_host: str) -> Sequence[Endpoint]:
        if fault is not None:
            raise fault
        return []

    with pytest.raises(OutboundFailure, match="its name does not resolve"):
        await open_outbound(Outside(resolve)).post(TARGET, {}, b"{}")


class Blocking:
    """A resolver that finds nothing. For a host below `slow.test` it takes until it is released."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = threading.Event()

    def __call__(self, host: str) -> Sequence[Endpoint]:
        self.asked.append(host)
        if host.endswith(".slow.test"):
            self.released.wait(30)
        return []


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    resolver = Blocking()
    yield resolver
    resolver.released.set()


async def problem_of(calls: Outbound, host: str) -> str:
    """Why a call to the host came to nothing."""
    with pytest.raises(OutboundFailure) as failed:
        await calls.post(Target(host, "/"), {}, b"{}")
    return str(failed.value)


async def attempt(calls: Outbound, team: str, host: str) -> str | None:
    """What comes of a call for the team, if there is a place for it."""
    if not calls.enter(team, host):
        return None
    try:
        return await problem_of(calls, host)
    finally:
        calls.leave(team, host)


async def test_a_resolver_that_hangs_holds_up_neither_the_caller_nor_the_end(
    open_outbound: Open, blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.2)
    calls = open_outbound(Outside(blocking))
    assert await problem_of(calls, "a.slow.test") == "no answer in time"
    calls.close()


async def test_a_name_that_hangs_is_looked_up_once_and_keeps_no_other_waiting(
    open_outbound: Open, blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.5)
    calls = open_outbound(Outside(blocking))
    slow = [asyncio.ensure_future(problem_of(calls, "a.slow.test")) for _ in range(AT_ONCE * 2)]
    await asyncio.sleep(0)
    assert await problem_of(calls, HOST) == "its name does not resolve"
    assert {await each for each in slow} == {"no answer in time"}
    assert sorted(blocking.asked) == ["a.slow.test", HOST]
    blocking.released.set()


async def test_a_team_whose_names_hang_keeps_no_other_teams_name_waiting(
    open_outbound: Open, blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.2)
    calls = open_outbound(Outside(blocking))
    came: list[str | None] = []
    for turn in range(3):
        hosts = [f"{turn}-{number}.slow.test" for number in range(AT_ONCE)]
        came += await asyncio.gather(*(attempt(calls, "slow", host) for host in hosts))
    assert came == ["no answer in time"] * AT_ONCE_PER_TEAM + [None] * (3 * AT_ONCE - AT_ONCE_PER_TEAM)
    assert calls.full_teams() == ["slow"], "a thread that still looks up keeps its call's place"
    assert await attempt(calls, "other", HOST) == "its name does not resolve"
    blocking.released.set()

    async def has_room() -> bool:
        return not calls.full_teams()

    await eventually(has_room)
    assert await attempt(calls, "slow", HOST) == "its name does not resolve"


async def test_what_nobody_gave_a_place_to_waits_for_one_of_a_few_threads(
    open_outbound: Open, blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.2)
    calls = open_outbound(Outside(blocking))
    problems = await asyncio.gather(*(problem_of(calls, f"{number}.slow.test") for number in range(AT_ONCE * 2)))
    assert set(problems) == {"no answer in time"}
    assert len(blocking.asked) == AT_ONCE
    calls.close()


async def test_a_thread_that_cannot_be_started_is_a_failure(
    open_outbound: Open, blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls = open_outbound(Outside(blocking))
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", too_many)
        assert await attempt(calls, "one", HOST) == "its name does not resolve"
    assert await attempt(calls, "one", HOST) == "its name does not resolve"
    assert blocking.asked == [HOST]


def test_the_systems_resolver_is_asked_for_the_port_of_https() -> None:
    assert Endpoint("127.0.0.1", 443) in outbound.resolve("localhost")


async def test_the_next_address_is_tried_when_one_takes_no_connection(certificates: Path, open_outbound: Open) -> None:
    async with ScriptedUpstream(answering(response()), tls=tls(certificates)) as receiver:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            places = [Endpoint("127.0.0.1", closed.getsockname()[1]), Endpoint("127.0.0.1", port_of(receiver))]
            assert (
                await open_outbound(Outside(lambda _: places, lambda _: True)).post(TARGET, {}, b"{}")
            ).status_code == 200


async def test_an_address_of_ipv6_is_called(certificates: Path, open_outbound: Open) -> None:
    server = await asyncio.start_server(_answer_once, "::1", 0, ssl=tls(certificates))
    places = [Endpoint("::1", server.sockets[0].getsockname()[1])]
    assert (await open_outbound(Outside(lambda _: places, lambda _: True)).post(TARGET, {}, b"{}")).status_code == 204
    server.close()


async def _answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n{}")
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_ss3_a_redirect_is_not_followed(certificates: Path, open_outbound: Open) -> None:
    moved = response(b"", "302 Found", "Location: https://hooks.example.com/else")
    async with ScriptedUpstream(answering(moved), tls=tls(certificates)) as receiver:
        assert (await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")).status_code == 302
    assert len(receiver.requests) == 1


async def test_of_a_huge_answer_only_the_beginning_is_read(certificates: Path, open_outbound: Open) -> None:
    sent = 0

    async def huge(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while sent < 1_000_000_000:
            await connection.send(b"x" * 65536)
            sent += 65536

    async with ScriptedUpstream(huge, tls=tls(certificates)) as receiver:
        assert (await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")).status_code == 200
    assert sent < 100_000_000  # what kernels buffer by themselves, and far from all


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\nand more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_an_answer_whose_body_goes_wrong_is_one(
    certificates: Path, open_outbound: Open, answer: bytes, pause: float
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        head, end, rest = answer.partition(b"\r\n\r\n")
        if pause:
            await connection.send(head + end)
            await asyncio.sleep(pause)
        await connection.send(rest if pause else answer)

    async with ScriptedUpstream(script, tls=tls(certificates)) as receiver:
        assert (await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")).status_code == 200


async def test_an_answer_that_never_ends_is_one(
    certificates: Path, open_outbound: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.5)

    async def drip(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        await connection.drip(b"x" * 900, 0.1)

    async with ScriptedUpstream(drip, tls=tls(certificates)) as receiver:
        assert (await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")).status_code == 200


@pytest.mark.parametrize("field", ["Content-Length: 2\r\nContent-Length: 3", "Transfer-Encoding: gzip", "Bad Name: x"])
async def test_a_head_that_is_none_is_no_answer(certificates: Path, open_outbound: Open, field: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{field}\r\n\r\nok".encode()
    async with ScriptedUpstream(answering(answer), tls=tls(certificates)) as receiver:
        with pytest.raises(OutboundFailure, match="broke off before an answer"):
            await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")


async def test_a_connection_that_ends_before_an_answer_is_a_failure(certificates: Path, open_outbound: Open) -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()

    async with ScriptedUpstream(silent, tls=tls(certificates)) as receiver:
        with pytest.raises(OutboundFailure, match="broke off before an answer"):
            await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")


async def test_a_receiver_that_dawdles_is_left(
    certificates: Path, open_outbound: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "DEADLINE", 0.5)

    async def drip(connection: Connection) -> None:
        await connection.request()
        await connection.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" * 100, 0.1)

    async with ScriptedUpstream(drip, tls=tls(certificates)) as receiver:
        with pytest.raises(OutboundFailure, match="no answer in time"):
            await open_outbound(outside(receiver)).post(TARGET, {}, b"{}")


def test_so_many_calls_are_under_way_to_a_host_for_a_team_and_in_all(open_outbound: Open) -> None:
    calls = open_outbound(Outside())
    taken = [calls.enter("one", "a") for _ in range(AT_ONCE_PER_TEAM)]
    assert sum(taken) == AT_ONCE_PER_TEAM_AND_HOST
    assert (calls.full_hosts(), calls.full_teams(), calls.full_pairs()) == ([], [], [("one", "a")])
    taken = [calls.enter("one", f"host-{number}") for number in range(AT_ONCE)]
    assert sum(taken) == AT_ONCE_PER_TEAM - AT_ONCE_PER_TEAM_AND_HOST
    assert calls.full_teams() == ["one"]
    taken = [calls.enter(f"team-{number}", "a") for number in range(AT_ONCE)]
    assert sum(taken) == AT_ONCE_PER_HOST - AT_ONCE_PER_TEAM_AND_HOST
    assert calls.full_hosts() == ["a"]
    taken = [calls.enter(f"team-{number}", f"place-{number}") for number in range(AT_ONCE)]
    assert sum(taken) == AT_ONCE - AT_ONCE_PER_HOST - (AT_ONCE_PER_TEAM - AT_ONCE_PER_TEAM_AND_HOST)
    assert not calls.enter("another", "elsewhere")
    calls.leave("one", "a")
    assert calls.full_hosts() == []
    assert calls.enter("another", "a")


@pytest.mark.parametrize("hosts", [("a",), ("a", "b", "c")])
def test_teams_whose_receivers_are_slow_leave_places_for_another_one(
    open_outbound: Open, hosts: tuple[str, ...]
) -> None:
    calls = open_outbound(Outside())
    held = [sum(calls.enter(f"slow-{number}", host) for host in hosts * AT_ONCE) for number in range(6)]
    assert held == sorted(held, reverse=True)
    assert calls.enter("another", hosts[0])


def test_a_place_is_freed_where_there_was_none_left_and_only_by_a_call_that_was_made(open_outbound: Open) -> None:
    calls = open_outbound(Outside())
    for _ in range(AT_ONCE_PER_TEAM_AND_HOST - 1):
        assert calls.enter("one", "a")
    calls.leave("one", "a")
    assert not calls.freed.is_set(), "there was a place beside it"
    for _ in range(2):
        assert calls.enter("one", "a")
    calls.withdraw("one", "a")
    assert not calls.freed.is_set(), "who gave it back knows"
    assert calls.enter("one", "a")
    calls.leave("one", "a")
    assert calls.freed.is_set()


def test_a_place_that_another_team_leaves_is_freed_for_one_that_had_its_part(open_outbound: Open) -> None:
    calls = open_outbound(Outside())
    assert calls.enter("one", "a")
    assert sum(calls.enter("another", f"host-{number}") for number in range(AT_ONCE)) == AT_ONCE_PER_TEAM - 1
    calls.leave("one", "a")
    assert calls.freed.is_set()
    assert calls.enter("another", "elsewhere")


@pytest.mark.parametrize(
    "places",
    [
        [("one", f"host-{number}") for number in range(AT_ONCE_PER_TEAM)],
        [(f"team-{number}", "a") for number in range(AT_ONCE_PER_HOST)],
        [(f"team-{number}", f"host-{number}") for number in range(AT_ONCE)],
    ],
    ids=["of a team", "to a host", "in all"],
)
def test_a_place_is_freed_whichever_bound_was_reached(open_outbound: Open, places: list[tuple[str, str]]) -> None:
    calls = open_outbound(Outside())
    for place in places:
        assert calls.enter(*place)
    calls.leave(*places[1])
    assert calls.freed.is_set()
    for place in places[2:]:
        calls.leave(*place)
    calls.freed.clear()
    calls.leave(*places[0])
    assert not calls.freed.is_set(), "there were places beside it"
