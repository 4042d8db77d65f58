"""The gateway with everything on: keys, limits, ownership, metrics, a durable ledger, the access log to a file."""

import hashlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.bench.interpreter import python
from tests.bench.load import Target
from tests.bench.processes import CPU_UNDER_TEST, Command, Process, free_port, started
from tests.bench.upstream import MODEL, Q, Upstream

OURS = "gateway"

_TEAM = """team: {team}
keys:
{keys}
models: {{allow: ["model-*"]}}
limits:
  - 600000000 requests per minute
  - 100000000 jobs per day
  - 100000000 jobs at once
  - 900000000 USD per month
"""


@dataclass(frozen=True)
class Teams:
    """So many teams with so many keys each."""

    teams: int = 10
    keys: int = 20

    def key(self, team: int, number: int) -> str:
        """The text of a key."""
        return f"bench-{team}-{number}"

    def all_keys(self) -> list[str]:
        """Every key, one team's after the other's in turn."""
        return [self.key(team, number) for number in range(self.keys) for team in range(self.teams)]

    def write(self, folder: Path) -> None:
        """The policy files, one a team."""
        folder.mkdir(parents=True)
        for team in range(self.teams):
            keys = [self._key_line(team, number) for number in range(self.keys)]
            (folder / f"team-{team}.yaml").write_text(_TEAM.format(team=f"team-{team}", keys="\n".join(keys)))

    def _key_line(self, team: int, number: int) -> str:
        digest = hashlib.sha256(self.key(team, number).encode()).hexdigest()
        return f'  - {{name: key-{number}, hash: "sha256:{digest}"}}'


@dataclass(frozen=True)
class Job:
    """A live job and a key of the team that owns it."""

    id: str
    key: str


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    process: Process
    url: str
    admin: str
    teams: Teams
    policies: Path

    @property
    def target(self) -> Target:
        """The gateway as the load sees it."""
        return Target(OURS, self.process, self.url)

    def create_jobs(self, count: int) -> list[Job]:
        """Make so many live jobs, the keys taking turns."""
        keys = self.teams.all_keys()
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(self._create, (keys[number % len(keys)] for number in range(count))))

    def _create(self, key: str) -> Job:
        request = urllib.request.Request(
            f"{self.url}{Q}/requests",
            data=json.dumps({"model": MODEL, "payload": {"prompt": "a lighthouse at dawn"}}).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Job(str(json.load(answer)["request_id"]), key)


@dataclass(frozen=True)
class Setup:
    """How the gateway is started for one scenario."""

    teams: Teams = field(default_factory=Teams)
    workers: int = 1
    ledger: str = ""
    """The ledger's URL; without one, a SQLite file of its own."""
    cpu: str = CPU_UNDER_TEST


@contextmanager
def gateway(folder: Path, upstream: Upstream, setup: Setup | None = None) -> Iterator[Gateway]:
    """Run it on a ledger and policies of its own, in `folder`, until the block ends."""
    setup = setup or Setup()
    setup.teams.write(folder / "policies")
    port, admin_port = free_port(), free_port()
    command = Command(
        (python(), "-m", "gateway", "serve", *(("--workers", str(setup.workers)) if setup.workers > 1 else ())),
        probe=f"http://127.0.0.1:{admin_port}/readyz",
        environment={
            "GMI_API_KEY": "bench-upstream-key",
            "SSL_CERT_FILE": str(upstream.trusted),
            "GATEWAY_UPSTREAM_URL": upstream.url,
            "GATEWAY_PORT": str(port),
            "GATEWAY_ADMIN_PORT": str(admin_port),
            "GATEWAY_POLICIES": str(folder / "policies"),
            "GATEWAY_LEDGER": setup.ledger or f"sqlite:///{folder / 'gateway.db'}",
            "GATEWAY_DRAIN_DELAY": "0",
        },
        cpu=setup.cpu,
    )
    with started(command, folder / "gateway.log") as process:
        urls = (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}")
        yield Gateway(process, *urls, setup.teams, folder / "policies")


@cache
def can_have_workers() -> bool:
    """Whether this gateway has `--workers`."""
    shown = subprocess.run((python(), "-m", "gateway", "serve", "--help"), check=True, capture_output=True)
    return b"--workers" in shown.stdout
