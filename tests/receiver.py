"""A team's receiver of webhooks: HTTPS on loopback as `hooks.example.com`, certified by a root of the test's own."""

import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gateway.outbound import Endpoint, Outside
from tests.scripted_upstream import ScriptedUpstream

HOST = "hooks.example.com"
NAMES = (HOST, "other.example.org", "storage.googleapis.com")
WEBHOOKS = f"webhooks: {{hosts: [{HOST}, '*.example.org'], secret: env:HOOK_SECRET}}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`root.pem`, and for each name in `NAMES` a certificate each with its key."""
    folder = tmp_path_factory.mktemp("receiver")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec:curve.pem", "-nodes")
    openssl("ecparam", "-name", "prime256v1", "-out", "curve.pem")
    openssl(*new, "-x509", "-days", "2", "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=root")
    for name in NAMES:
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed_by = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", *signed_by)
    return folder


@pytest.fixture
def trusting(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gateways of this test trust the test's root, as an operator would have them do it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "root.pem"))
    return certificates


def tls(certificates: Path, name: str = HOST) -> ssl.SSLContext:
    """A receiver's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return context


def port_of(receiver: ScriptedUpstream) -> int:
    return int(receiver.url.rpartition(":")[2])


def outside(*receivers: ScriptedUpstream) -> Outside:
    """A world in which every name is the receiver on this machine, which may be called."""
    places = [Endpoint("127.0.0.1", port_of(receiver)) for receiver in receivers]

    def resolve(_host: str) -> Sequence[Endpoint]:
        return places

    permits: Callable[[str], bool] = "127.0.0.1".__eq__
    return Outside(resolve, permits)
