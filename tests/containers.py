"""The image, built for real by buildah, and containers of it run by podman. Both want root and Debian's packages.

`python -m tests.containers` builds it.
"""

import fcntl
import json
import os
import random
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Q
from tests.programs import require

ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gmi-gateway"
BASE = "localhost/gmi-gateway-base:trixie"
"""What stands in for python:3.13-slim, which is Debian trixie too, where no registry of images can be reached."""

IMAGE = "localhost/gmi-gateway:test"
FIRST_PORT = 20_000
"""Of those at which containers are reached."""

SETTINGS = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
events_logger = "file"
"""


def run(*command: str, seconds: float = 60) -> str:
    """What the command prints. Fails with all it said."""
    environment = os.environ | {"CONTAINERS_CONF": str(CACHE / "containers.conf")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
    return ended.stdout.strip()


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it holds, or fail."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to pass in time"
        time.sleep(0.1)


def is_ready(admin: str) -> bool:
    """Whether the gateway whose admin listener is here says that it is ready."""
    with suppress(OSError), urllib.request.urlopen(f"{admin}/readyz", timeout=5) as said:
        return bool(said.status == 200)
    return False


def make_film(public: str, key: str) -> None:
    """A whole job by curl: create, poll to its end, look at what came out."""

    def curl(path: str, *options: str) -> dict[str, Any]:
        headers = ("--header", f"Authorization: Bearer {key}")
        answer: dict[str, Any] = json.loads(run("curl", "--silent", "--fail-with-body", *headers, *options, url(path)))
        return answer

    def url(path: str) -> str:
        return f"{public}{Q}{path}"

    body = json.dumps({"model": "Veo3", "payload": {"prompt": "a lighthouse at dawn"}})
    job = f"/requests/{curl('/requests', '--json', body)['request_id']}"
    wait_until(lambda: curl(job)["status"] == "success")
    assert curl(job)["outcome"]["video_url"]


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image of this checkout."""
    require("buildah", "podman", "runc", "mmdebstrap", root=True)
    return build()


def build() -> str:
    """Make the image, from what is in the cache where that is the same. The base is made once for each machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # several processes run tests at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        (CACHE / "containers.conf").write_text(SETTINGS)
        if not run("podman", "images", "--quiet", BASE):
            run("podman", "import", str(_base()), BASE)
        options = ("--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--layers")
        certificates = ("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")
        build = ("--build-arg", f"BASE={BASE}", "--tag", IMAGE, str(ROOT))
        run("buildah", "bud", *options, *certificates, *build, seconds=600)
    return IMAGE


def _base() -> Path:
    """The file system of a small Debian with Python."""
    made = CACHE / "trixie.tar"
    if not made.exists():
        begun = CACHE / "begun.tar"
        packages = "--include=python3,python3-venv,ca-certificates"
        run("mmdebstrap", "--variant=minbase", packages, "trixie", str(begun), seconds=600)
        begun.rename(made)
    return made


@dataclass(frozen=True)
class Container:
    """A running container whose two listeners are reached from here."""

    id: str

    @cached_property
    def public(self) -> str:
        return self._url(8080)

    @cached_property
    def admin(self) -> str:
        return self._url(9090)

    def _url(self, port: int) -> str:
        return f"http://{run('podman', 'port', self.id, f'{port}/tcp')}"

    def execute(self, *command: str) -> str:
        """What a command inside prints. Fails where it does."""
        return run("podman", "exec", self.id, *command)

    def said(self) -> str:
        """Its output until now, both kinds."""
        return run("sh", "-c", f"podman logs {self.id} 2>&1")

    def ends(self, patience: int = 30) -> int:
        """Its exit status after SIGTERM; 137 where it had to be killed."""
        run("podman", "stop", "--time", str(patience), self.id, seconds=patience + 20)
        return int(run("podman", "inspect", "--format", "{{.State.ExitCode}}", self.id))

    def is_ready(self) -> bool:
        with (
            suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(f"{self.admin}/readyz", timeout=5) as said,
        ):
            return bool(said.status == 200)
        return False


@contextmanager
def running_container(*options: str, image: str, command: tuple[str, ...]) -> Iterator[Container]:
    """A container with nothing that it can do without; it does not outlive the block."""
    locked = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "256m")
    ports = [f"--publish=127.0.0.1:{_free_port()}:{inside}" for inside in (8080, 9090)]
    made = run("podman", "run", "--detach", *locked, *ports, *options, image, *command)
    container = Container(re.findall(r"[0-9a-f]{64}", made)[-1])
    try:
        yield container
    finally:
        run("podman", "rm", "--force", "--volumes", "--time", "0", container.id)


def _free_port() -> int:
    """A port that the system gives to nobody by itself.

    While a container ends, and for good if its test was killed, the firewall still sends what goes to its port to it.
    Whoever was given that port meanwhile would listen, and be refused to all.
    """
    while True:
        port = random.randrange(FIRST_PORT, first_given_port())
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def first_given_port() -> int:
    """The lowest port that the system gives to those who ask for any."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


if __name__ == "__main__":
    build()
