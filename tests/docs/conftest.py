"""The gateway that the pages speak to: the sample policies, with a key for each team, in front of a fast simulator."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.core.keys import RANDOM_BYTES, digest, make_key
from gateway.policies.edit import add_key
from tests.conftest import REAL_KEY, House, OpenHouse
from tests.docs.pages import ROOT

TEAMS = ("marketing", "research")


CREATED = {"method": "POST", "route": "/requests", "status": 200, "ms": 0, "team": "research", "key": "web"}
IMAGE = {"model": "seedream-5.0-lite", "usd": 0.035, "seconds": 0}
FILM = {"model": "Veo3", "usd": 3.2, "seconds": 8}
KLING = {"model": "Kling-Image2Video-V2.1-Master", "usd": 0.28, "seconds": 5}
ENDED = {"event": "job ended", "outcome": "success"}
LOGS: dict[str, list[dict[str, Any]]] = {
    "access.log": [
        {"time": f"2026-11-23T09:00:0{number}Z", **CREATED, **what, "job": f"job-{number}"}
        for number, what in ((0, IMAGE), (1, IMAGE), (2, IMAGE), (3, FILM), (4, KLING))
    ]
    + [{"time": "2026-11-23T09:00:06Z", **CREATED, "method": "GET", "route": "/models"}],
    "events.log": [
        {"time": f"2026-11-23T09:00:0{number}Z", **ENDED, "request_id": f"job-{number}"} for number in range(3)
    ],
}
"""What a gateway with wider policies wrote down: five creates, and the ends of three jobs."""


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell in a folder that holds `policies` and `gateway.db`, as the pages assume, beside the running gateway."""

    house: House
    folder: Path
    keys: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What an operator's and a developer's shell would have set. The tests' own interpreter comes first."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GATEWAY_UPSTREAM_URL": self.house.upstream.url,
            "GMI_API_KEY": REAL_KEY,
            "GATEWAY": self.house.running.public_url,
            "KEY": self.keys["marketing"],
            "CURL_HOME": str(self.folder),
        }

    def told(self, text: str) -> str:
        """The text with this gateway's addresses and a team's key where the pages have theirs."""
        public, admin = self.house.running.public_url, self.house.running.admin_url
        text = text.replace("http://127.0.0.1:8080", public).replace("http://127.0.0.1:9090", admin)
        return text.replace("gmigw_…", self.keys["marketing"])

    async def run(self, script: str) -> str:
        """What the script prints, on both outputs. Fails where any line of it does, also within a pipe."""
        ended = await self.try_(f"set -euo pipefail\n{script}")
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    async def try_(self, script: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever its status. The gateway goes on serving meanwhile."""
        return await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", self.told(script)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )


OpenShell = Callable[..., Awaitable[Shell]]


@pytest.fixture
def open_shell(open_house: OpenHouse, tmp_path: Path) -> OpenShell:
    """`await open_shell()`: the gateway and a shell beside it. With `relays=True` files go through the gateway."""

    async def open_(*, relays: bool = False) -> Shell:
        shutil.copytree(ROOT / "policies", tmp_path / "policies")
        keys = {team: make_key(bytes([number]) * RANDOM_BYTES) for number, team in enumerate(TEAMS)}
        for team, key in keys.items():
            file = tmp_path / "policies" / "teams" / f"{team}.yaml"
            file.write_text(add_key(file.read_text(), "web", digest(key)))
        for name, lines in LOGS.items():
            (tmp_path / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        if not relays:
            house = await open_house({}, speed=10_000, origin="https://artifacts.example")
        else:
            with (tmp_path / "policies" / "teams" / "marketing.yaml").open("a") as policy:
                policy.write("uploads: {relay: true}\n")
            house = await open_house({}, speed=10_000, public_url="http://gateway.example")
            address = house.running.public_url.removeprefix("http://")
            (tmp_path / ".curlrc").write_text(f"connect-to = gateway.example:80:{address}\n")
        return Shell(house, tmp_path, keys)

    return open_
