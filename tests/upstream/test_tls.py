"""Who upstream is: no byte leaves before its certificate is verified."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from gateway.core.errors import Code
from gateway.core.policy import Credential, Source
from gateway.telemetry import Metrics
from gateway.upstream.client import Limits, Sent, Upstream
from gateway.upstream.credentials import Credentials
from gateway.upstream.transport import build_transport
from tests.scripted_upstream import Connection, ScriptedUpstream, answering, response
from tests.upstream.conftest import failures_of

BODY = b'{"model":"Veo3","payload":{}}'
GOOD = response(b'{"request_id":"r1"}')


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, a good certificate for localhost, an expired one, one for another name, and a self-signed one."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def leaf(name: str, host: str, *validity: str) -> None:
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        openssl(
            "req",
            "-newkey",
            "ec:curve.pem",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={host}",
        )
        signed_by = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed_by, *validity)

    openssl("ecparam", "-name", "prime256v1", "-out", "curve.pem")
    for name in ("root", "selfsigned"):
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec:curve.pem",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
            "-addext",
            "subjectAltName=DNS:localhost",
        )
    leaf("good", "localhost", "-days", "2")
    leaf("wrongname", "elsewhere.example", "-days", "2")
    leaf("expired", "localhost", "-days", "-1")
    return folder


def secure_client(
    url: str,
    certificates: Path,
    limits: Limits = Limits(timeout=2.0, create_timeout=2.0, in_flight=5),  # noqa: B008 - never changed
) -> Upstream:
    """A client that trusts the test's root and nothing else."""
    trusted = ssl.create_default_context(cafile=certificates / "root.pem")
    credentials = Credentials(lambda name: Credential(name, (Source("env", "KEY"),)), {"KEY": "k-1"})
    return Upstream(
        url,
        build_transport(10, trusted),
        credentials,
        Metrics("test"),
        limits,
    )


def server_context(certificates: Path, name: str) -> ssl.SSLContext:
    """A server's side of TLS with one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return context


async def test_up3_a_good_certificate_is_accepted_and_the_connection_kept(certificates: Path) -> None:
    async with ScriptedUpstream(answering(GOOD), tls=server_context(certificates, "good")) as upstream:
        gmi = secure_client(upstream.url, certificates)
        for _ in range(3):
            assert (await gmi.create_request("default", BODY)).status == 200
            await asyncio.sleep(0.01)
        await gmi.close()
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("fault", ["selfsigned", "wrongname", "expired", "old"])
async def test_up3_bad_tls_gets_no_byte(certificates: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PYTHONHTTPSVERIFY", "CURL_INSECURE", "NODE_TLS_REJECT_UNAUTHORIZED"):
        monkeypatch.setenv(variable, "0")
    context = server_context(certificates, "good" if fault == "old" else fault)
    if fault == "old":
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    async with ScriptedUpstream(answering(GOOD), tls=context) as upstream:
        gmi = secure_client(upstream.url, certificates)
        for failure in await failures_of(gmi):
            assert (failure.sent, failure.code) == (Sent.NEVER, Code.UPSTREAM_UNREACHABLE)
        await gmi.close()
    assert upstream.requests == []


class Named:
    """Asks over TLS by address, as one who has resolved and checked a name."""

    def __init__(self, upstream: ScriptedUpstream, certificates: Path) -> None:
        self.transport = build_transport(5, ssl.create_default_context(cafile=certificates / "root.pem"))
        self._url = upstream.url.replace("localhost", "127.0.0.1")

    async def get(self, **extensions: str) -> bytes:
        request = httpx.Request("GET", self._url, headers={"Host": "localhost"}, extensions=extensions)
        response = await self.transport.handle_async_request(request)
        return await response.aread()


async def test_ss2_an_address_is_connected_to_and_its_name_verified(certificates: Path) -> None:
    names: list[str | None] = []
    context = server_context(certificates, "good")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with ScriptedUpstream(answering(GOOD), tls=context) as upstream:
        named = Named(upstream, certificates)
        with pytest.raises(httpx.ConnectError):
            await named.get()
        assert upstream.requests == []
        assert await named.get(sni_hostname="localhost") == b'{"request_id":"r1"}'
        with pytest.raises(httpx.ConnectError):
            await named.get(sni_hostname="elsewhere.example")
        assert len(upstream.requests) == 1
        await named.transport.aclose()
    assert names == [None, "localhost", "elsewhere.example"]


async def test_large_bodies_go_both_ways(certificates: Path) -> None:
    page = response(b'{"a":"' + b"y" * 5_000_000 + b'"}')
    async with ScriptedUpstream(answering(page), tls=server_context(certificates, "good")) as upstream:
        gmi = secure_client(upstream.url, certificates, Limits(timeout=30.0, create_timeout=30.0))
        for _ in range(2):
            answer = await gmi.create_request("default", b"x" * 4_000_000)
            assert len(answer.body) == 5_000_008
        await gmi.close()
    assert [len(request.body) for request in upstream.requests] == [4_000_000] * 2
    assert len(upstream.connections) == 1


async def test_sm10_what_comes_unasked_over_tls_is_noticed(certificates: Path) -> None:
    async def talkative(connection: Connection) -> None:
        await connection.request()
        await connection.send(GOOD)
        await asyncio.sleep(0.05)
        await connection.send(GOOD)
        await connection.hold()

    async with ScriptedUpstream(talkative, tls=server_context(certificates, "good")) as upstream:
        gmi = secure_client(upstream.url, certificates)
        for number in range(1, 4):
            assert (await gmi.create_request("default", BODY)).status == 200
            await asyncio.sleep(0.2)
            assert len(upstream.connections) == number
        await gmi.close()


async def test_up3_the_systems_roots_may_be_others(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream(answering(GOOD), tls=server_context(certificates, "good")) as upstream:
        for trusted, status in (("root.pem", 200), ("selfsigned.pem", None)):
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates / trusted))
            transport = build_transport(5)
            request = httpx.Request("GET", upstream.url)
            if status is None:
                with pytest.raises(httpx.ConnectError):
                    await transport.handle_async_request(request)
            else:
                response = await transport.handle_async_request(request)
                assert response.status_code == status
                await response.aread()
            await transport.aclose()
