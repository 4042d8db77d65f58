"""The image as it is run in production: read-only, without a capability, in 256 MB; and what it is made of."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__
from tests.conftest import team
from tests.containers import (
    FIRST_PORT,
    ROOT,
    Container,
    first_given_port,
    make_film,
    run,
    running_container,
    wait_until,
)
from tests.programs import beside_python

pytestmark = pytest.mark.timeout(900)

KEY = "gmigw_key-of-a-test"


@pytest.fixture
def container(image: str) -> Iterator[Container]:
    """A gateway in front of its simulator, with one team."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # nobody else than the container's user must read it
        (Path(folder) / "a.yaml").write_text(team("a", KEY))
        policies = ("--volume", f"{folder}:/etc/gmi-gateway/policies:ro")
        with running_container(*policies, image=image, command=("serve", "--simulate")) as started:
            wait_until(started.is_ready)
            yield started


def test_a_whole_job_by_curl_in_a_locked_container_that_ends_well_at_sigterm(container: Container) -> None:
    make_film(container.public, KEY)
    assert container.ends() == 0
    said = container.said()
    assert '"event": "draining"' in said
    assert KEY not in said


def test_the_health_command_says_what_readyz_says(container: Container) -> None:
    assert container.execute("gmi-gateway", "health") == "ready"
    described = json.loads(run("podman", "inspect", container.id))[0]
    assert described["Config"]["Healthcheck"]["Test"] == ["CMD", "gmi-gateway", "health"]
    run("podman", "healthcheck", "run", container.id)


def test_no_other_test_is_given_a_port_that_leads_to_a_container(container: Container) -> None:
    ports = [int(url.rpartition(":")[2]) for url in (container.public, container.admin)]
    assert all(FIRST_PORT <= port < first_given_port() for port in ports)


def test_the_process_is_nobody_who_can_write_nothing_and_has_256_mb(container: Container) -> None:
    look = """
import json, os, pathlib
status = pathlib.Path("/proc/1/status").read_text()
fields = dict(line.split(":\\t", 1) for line in status.splitlines() if ":\\t" in line)
paths = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
limits = [pathlib.Path(path).read_text() for path in paths if os.path.exists(path)]
try:
    pathlib.Path("/opt/written").write_text("")
except OSError as error:
    denied = error.strerror
print(json.dumps([os.getuid(), os.getgid(), fields["CapEff"].strip("0\\n"), int(limits[0]), denied]))
"""
    assert json.loads(container.execute("python3", "-c", look)) == [
        10001,
        10001,
        "",
        256 * 1024**2,
        "Read-only file system",
    ]


def test_the_demo_runs_where_only_tmp_can_be_written(image: str) -> None:
    options = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none", "--memory", "256m")
    told = run("podman", "run", "--rm", *options, image, "demo", "--once", seconds=120)
    assert told.endswith("Every step came out as told.")


def test_it_is_small_and_says_what_it_is_and_holds_no_shell(image: str) -> None:
    described = json.loads(run("podman", "image", "inspect", image))[0]
    assert described["Size"] < 150 * 1000**2
    assert described["Config"]["User"] == "10001:10001"
    labels = described["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    inside = ("podman", "run", "--rm", "--network", "none", image)
    assert run(*inside, "--version") == f"gmi-gateway {__version__}"
    assert run(*inside, "check").endswith("0 warnings")
    found = (
        "import shutil; print([name for name in ('sh', 'bash', 'apt', 'dpkg', 'pip', 'perl') if shutil.which(name)])"
    )
    assert run("podman", "run", "--rm", "--entrypoint", "python3", image, "-c", found) == "[]"
    driver = "import psycopg, sqlalchemy.dialects.postgresql; print(psycopg.pq.__impl__)"
    entry = "/opt/gmi-gateway/bin/python"
    assert run("podman", "run", "--rm", "--entrypoint", entry, image, "-c", driver) == "binary"


def test_the_dockerfile_follows_the_rules_of_dockerfiles() -> None:
    hadolint = beside_python("hadolint")
    told = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_nothing_gets_into_a_build_but_what_the_image_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    named = [line.removeprefix("!") for line in lines if line.startswith("!")]
    copied = [
        word
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert lines[1] == "*"
    assert sorted(named) == sorted(set(copied))
