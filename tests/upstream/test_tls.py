"""Who upstream is: no byte leaves before its certificate is verified."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from gateway.core.errors import Code
from gateway.core.policy import Credential, Source
from gateway.telemetry import Metrics
from gateway.upstream.client import Limits, Sent, Upstream
from gateway.upstream.credentials import Credentials
from gateway.upstream.transport import build_transport
from tests.scripted_upstream import ScriptedUpstream, answering, response
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


def secure_client(url: str, certificates: Path) -> Upstream:
    """A client that trusts the test's root and nothing else."""
    trusted = ssl.create_default_context(cafile=certificates / "root.pem")
    credentials = Credentials(lambda name: Credential(name, (Source("env", "KEY"),)), {"KEY": "k-1"})
    return Upstream(
        url,
        build_transport(10, trusted),
        credentials,
        Metrics("test"),
        Limits(timeout=2.0, create_timeout=2.0, in_flight=5),
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
