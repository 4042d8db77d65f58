"""TLS on a listener, and a certificate exchanged under it."""

import asyncio
import http.client
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from gateway.server.deadlines import NEVER
from gateway.server.exchange import Exchange
from gateway.server.tls import Certificate, TLSFiles
from tests.server.conftest import Serve, Wire, get, until


def make_certificate(folder: Path, name: str) -> TLSFiles:
    folder.mkdir(exist_ok=True)
    files = TLSFiles(folder / "tls.crt", folder / "tls.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "3650", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(files.key), "-out", str(files.cert)),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TLSFiles]:
    folder = tmp_path_factory.mktemp("certificates")
    return {name: make_certificate(folder / name, name) for name in ("old", "new")}


@pytest.fixture
def files(made: dict[str, TLSFiles], tmp_path: Path) -> TLSFiles:
    files = TLSFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    put(made["old"], files)
    return files


def put(source: TLSFiles, target: TLSFiles) -> None:
    shutil.copy(source.cert, target.cert)
    shutil.copy(source.key, target.key)


def trusting(files: TLSFiles) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files.cert)


async def connect(address: tuple[str, int], trust: TLSFiles, name: str) -> Wire:
    return Wire(*await asyncio.open_connection(*address, ssl=trusting(trust), server_hostname=name))


async def connect_to_take_little(address: tuple[str, int], trust: TLSFiles | None) -> Wire:
    """A client whose system keeps next to nothing for it."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(sock, address)
    context, name = (None, None) if trust is None else (trusting(trust), "old")
    return Wire(*await asyncio.open_connection(sock=sock, limit=1024, ssl=context, server_hostname=name))


async def test_requests_over_tls(serve: Serve, files: TLSFiles) -> None:
    listener = await serve(tls=files)
    wire = await connect(listener.address, files, "old")
    await wire.send(get() + get("/", "Connection: close"))
    assert listener.url.startswith("https://")
    assert (await wire.rest()).count(b"200 OK") == 2


async def test_sm8_an_early_answer_arrives_over_tls_too(serve: Serve, files: TLSFiles) -> None:
    wire = await connect((await serve(tls=files)).address, files, "old")
    await wire.send(get("/early", "Content-Length: 100"), bytes(50))
    assert b"401" in await wire.rest(2)


async def test_sh1_who_had_connected_but_not_shaken_hands_is_answered(serve: Serve, files: TLSFiles) -> None:
    listener = await serve(tls=files)
    with socket.create_connection(listener.address) as sock:
        sock.setblocking(False)
        finishing = asyncio.ensure_future(listener.finish(9))
        await until(lambda: not listener._server.is_serving())
        await asyncio.sleep(0.1)
        assert not finishing.done()
        wire = Wire(*await asyncio.open_connection(sock=sock, ssl=trusting(files), server_hostname="old"))
        await wire.send(get())
        assert b"200 OK" in await wire.rest()
        await finishing


async def test_sh1_a_client_that_keeps_its_idle_connection_does_not_hold_the_end_up(
    serve: Serve, files: TLSFiles
) -> None:
    listener = await serve(tls=files, idle_seconds=9, write_seconds=9)
    address, context = listener.address, trusting(files)

    def ask_once() -> http.client.HTTPSConnection:
        client = http.client.HTTPSConnection("old", context=context)
        client.sock = context.wrap_socket(socket.create_connection(address), server_hostname="old")
        client.request("GET", "/")
        assert client.getresponse().status == 200
        return client

    client = await asyncio.to_thread(ask_once)
    async with asyncio.timeout(5):
        await listener.finish(20)
    assert listener.cut == 0
    client.close()


async def test_a_client_that_takes_the_last_of_an_answer_late_gets_it_all(serve: Serve, files: TLSFiles) -> None:
    listener = await serve(tls=files, write_seconds=9)
    wire = await connect_to_take_little(listener.address, files)
    await wire.send(get("/whole/20000000", "Connection: close"))
    (connection,) = listener._state.connections
    await until(lambda: connection.flow.write_paused)
    taken = 0
    while not connection.transport.is_closing():
        taken += len(await wire._reader.read(65536))
    await asyncio.sleep(5 * listener._state.limits.linger_seconds)
    assert taken + len(await wire.rest()) > 20_000_000
    await until(lambda: not listener._state.connections)


async def test_old_versions_of_tls_are_refused(serve: Serve, files: TLSFiles) -> None:
    context = trusting(files)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*(await serve(tls=files)).address, ssl=context, server_hostname="old")


async def test_a_new_certificate_serves_new_connections_and_keeps_old_ones(
    serve: Serve, files: TLSFiles, made: dict[str, TLSFiles]
) -> None:
    listener = await serve(tls=files)
    before = await connect(listener.address, made["old"], "old")
    put(made["new"], files)
    assert listener._certificate
    listener._certificate.refresh(float("inf"))
    after = await connect(listener.address, made["new"], "new")
    for wire in (before, after):
        await wire.send(get("/", "Connection: close"))
        assert b"200 OK" in await wire.rest()


def test_a_pair_that_does_not_fit_keeps_the_old_one_until_it_does(
    files: TLSFiles, made: dict[str, TLSFiles], caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(files)
    old = certificate._current
    shutil.copy(made["new"].cert, files.cert)
    certificate.refresh(10)
    certificate.refresh(20)
    assert certificate._current is old
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "certificate not reloaded")
    assert "mismatch" in record.fields["reason"].lower()  # type: ignore[attr-defined]  # the formatter's own field
    shutil.copy(made["new"].key, files.key)
    certificate.refresh(21)
    assert certificate._current is old  # looked at every two seconds
    certificate.refresh(22)
    assert certificate._current is not old


def test_files_that_vanish_keep_the_certificate(files: TLSFiles) -> None:
    certificate = Certificate(files)
    old = certificate._current
    files.key.unlink()
    certificate.refresh(10)
    assert certificate._current is old


def test_unusable_files_are_an_error_at_start(files: TLSFiles, made: dict[str, TLSFiles]) -> None:
    shutil.copy(made["new"].key, files.key)
    with pytest.raises(ssl.SSLError):
        Certificate(files)
    files.key.unlink()
    with pytest.raises(FileNotFoundError):
        Certificate(files)


async def test_rs4_a_client_that_takes_nothing_is_not_written_more_to_than_without_tls(
    serve: Serve, files: TLSFiles
) -> None:
    listener = await serve(tls=files, write_seconds=5)
    wire = await connect(listener.address, files, "old")
    await wire.send(get("/large"))
    (connection,) = listener._state.connections
    await until(lambda: connection.flow.write_paused)
    assert connection.transport.get_write_buffer_size() < 200_000
    wire.writer.transport.abort()


async def test_rs5_an_answer_is_encrypted_as_the_client_takes_it(
    serve: Serve, files: TLSFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    write = Exchange._write

    def note(exchange: Exchange, body: bytes) -> None:
        written.append(len(body))
        write(exchange, body)

    monkeypatch.setattr(Exchange, "_write", note)
    listener = await serve(tls=files, write_seconds=5)
    wire = await connect_to_take_little(listener.address, files)
    await wire.send(get("/whole/20000000"))
    (connection,) = listener._state.connections
    await until(lambda: connection.flow.write_paused)
    assert sum(written) < 10_000_000  # what the kernel takes, and little more
    assert (await wire.answer()).body == bytes(20_000_000)
    assert sum(written) == 20_000_000
    wire.writer.transport.abort()


async def test_rs4_a_client_that_goes_while_it_takes_a_large_answer_is_written_no_more(
    serve: Serve, files: TLSFiles, caplog: pytest.LogCaptureFixture
) -> None:
    listener = await serve(tls=files, write_seconds=5)
    wire = await connect_to_take_little(listener.address, files)
    await wire.send(get("/whole/20000000"))
    (connection,) = listener._state.connections
    await until(lambda: connection.flow.write_paused)
    wire.writer.transport.abort()
    await until(lambda: not listener._state.connections and not listener._state.tasks)
    assert caplog.messages == []


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_rs2_who_is_still_taking_an_answer_does_not_go_for_a_newcomer(
    serve: Serve, files: TLSFiles, scheme: str
) -> None:
    encryption = files if scheme == "https" else None
    listener = await serve(tls=encryption, write_seconds=5, idle_seconds=5)
    wire = await connect_to_take_little(listener.address, encryption)
    await wire.send(get("/whole/300000"))
    (connection,) = listener._state.connections
    await until(lambda: not connection.busy)
    assert connection.transport.get_write_buffer_size() == 0
    # What the kernel has arrives whatever becomes of the connection, but TLS may keep more behind it.
    assert (connection.idle_since == NEVER) == (scheme == "https")
    assert (await wire.answer()).body == bytes(300_000)
    await until(lambda: connection.idle_since != NEVER)
    wire.writer.transport.abort()


async def test_sh1_who_waited_at_the_port_when_it_closed_is_answered(serve: Serve, files: TLSFiles) -> None:
    listener = await serve(files, header_seconds=9, first_seconds=5)
    sock = socket.create_connection(listener.address)
    sock.settimeout(5)

    def ask() -> bytes:
        with trusting(files).wrap_socket(sock, server_hostname="old") as wrapped:
            wrapped.sendall(get())
            return b"".join(iter(lambda: wrapped.recv(65536), b""))

    finishing = asyncio.ensure_future(listener.finish(9))
    answer = await asyncio.to_thread(ask)
    assert answer.startswith(b"HTTP/1.1 200 ")
    await finishing
    assert listener.cut == 0


async def test_sh1_a_handshake_that_fails_after_the_port_has_closed_is_no_fault(
    serve: Serve, files: TLSFiles, caplog: pytest.LogCaptureFixture
) -> None:
    listener = await serve(files)
    with socket.create_connection(listener.address) as sock:
        sock.sendall(b"this is no handshake")
        await listener.finish(5)
    assert (listener.cut, caplog.records) == (0, [])


async def test_sh2_who_begins_no_handshake_does_not_hold_up_the_end(serve: Serve, files: TLSFiles) -> None:
    listener = await serve(files, header_seconds=30, first_seconds=0.5)
    with socket.create_connection(listener.address):
        began = time.monotonic()
        await listener.finish(30)
    assert time.monotonic() - began < 10
    assert listener.cut == 0
