"""The dumb upstream: nginx with constant answers, on the core of the load, so that it is never the slow part."""

import getpass
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.bench.processes import CPU_OF_LOAD, Command, free_port, started
from tests.bench.texts import write_file

Q = "/api/v1/ie/requestqueue/apikey"
MODEL = "model-1"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") or ""

_MODELS = ",".join(f'"model-{number}"' for number in range(324))
# nginx keeps time only for refused logins: the refusal waits, and its error page is the answer.
_LATER = "auth_basic upstream; auth_basic_user_file {folder}/nobody; auth_delay 20ms; error_page 401 =200 @{answer};"
_AT_ONCE = "error_page 418 =200 @{answer}; return 418;"


class Kind(Enum):
    """How upstream answers."""

    PLAIN = "at once"
    SLOW = "after 20 ms"
    TLS = "at once, over TLS"


@dataclass(frozen=True)
class Upstream:
    """A running upstream; `trusted` is the certificate that proves it where it speaks TLS."""

    kind: Kind
    port: int
    status_port: int
    trusted: Path

    @property
    def scheme(self) -> str:
        """`https` over TLS."""
        return "https" if self.kind is Kind.TLS else "http"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def calls(self) -> int:
        """Requests taken so far. What a create asks of the inner server and this question are among them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/calls", timeout=10) as answer:
            return read_calls(answer.read().decode())


def read_calls(status: str) -> int:
    """The number of requests in nginx's `stub_status`: accepts, handled, requests."""
    found = re.search(r"^ \d+ \d+ (\d+) $", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1])


@contextmanager
def upstream(kind: Kind, folder: Path) -> Iterator[Upstream]:
    """Run it until the block ends."""
    running = Upstream(kind, free_port(), free_port(), folder / "upstream.crt")
    _make_certificate(folder)
    (folder / "nobody").touch()
    way = _LATER if kind is Kind.SLOW else _AT_ONCE
    config = write_file(
        "upstream.conf",
        folder / "upstream.conf",
        folder=folder,
        user=getpass.getuser(),
        port=running.port,
        status_port=running.status_port,
        ssl="ssl" if kind is Kind.TLS else "",
        q=Q,
        model=MODEL,
        models=_MODELS,
        delay_create=way.format(folder=folder, answer="create"),
        delay_record=way.format(folder=folder, answer="record"),
    )
    ready = f"http://127.0.0.1:{running.status_port}/ready"
    command = Command((NGINX, "-p", str(folder), "-c", str(config)), ready, cpu=CPU_OF_LOAD)
    with started(command, folder / "upstream.log"):
        yield running


def _make_certificate(folder: Path) -> None:
    """A key and a self-signed certificate for 127.0.0.1, which those who connect are told to trust."""
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "upstream.key"), "-out", str(folder / "upstream.crt"))
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subprocess.run(("openssl", "req", "-x509", *key, *subject, *files), check=True, capture_output=True)
