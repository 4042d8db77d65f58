"""Commands run in this process, as a person runs them: arguments in, status and both outputs back."""

import asyncio
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.cli.parser import run_command

NOW = 1795435200.0
"""2026-11-23T12:00:00Z, a Monday."""

KEY_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
FILMS = f"""\
# The films team.
team: films
timezone: Europe/Berlin
keys:
  - name: web # the web app
    hash: sha256:{KEY_DIGEST}
    scopes: [models, "jobs:read"]

models: {{allow: ["Veo3*"], deny: [Veo3-Ultra]}} # the dear one
limits:
  - 10 jobs per day
  - {{limit: 5 USD per month, name: money}}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    status: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs commands at `now` with nothing but `environment`; `policies` is the folder they find by default."""

    capsys: pytest.CaptureFixture[str]
    policies: Path
    environment: dict[str, str] = field(default_factory=dict)
    now: float = NOW

    def run(self, *arguments: str) -> Outcome:
        """Run `gmi-gateway ARGUMENTS`."""
        self.capsys.readouterr()
        try:
            status = run_command(arguments, self.environment, self.now)
        except SystemExit as ending:
            status = int(ending.code or 0)
        out, err = self.capsys.readouterr()
        return Outcome(status, out, err)

    async def run_beside(self, *arguments: str) -> Outcome:
        """The same in a thread, while this loop goes on serving."""
        return await asyncio.to_thread(self.run, *arguments)


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, with both outputs to read, which does not outlive the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()
