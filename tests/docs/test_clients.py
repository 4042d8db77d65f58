"""The examples for developers, each run as a program of its own."""

import asyncio
import json
import os
import shutil
import sys

import pytest

from tests.docs.conftest import OpenShell, Shell
from tests.docs.pages import CLIENTS, Block

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None and os.environ.get("CI") != "true", reason="node is not installed")

HURRY = "import time; nap = time.sleep; time.sleep = lambda seconds: nap(min(seconds, 0.1))\n"
"""The simulator's jobs end at once: a client that waits half a minute for them, as one does, waits for nothing."""


async def run(shell: Shell, *program: str) -> str:
    """What the program prints. Fails where it does, and unless it made one job."""
    pipe = asyncio.subprocess.PIPE
    ran = await asyncio.create_subprocess_exec(
        *program, env=os.environ | {"NO_PROXY": "127.0.0.1"}, stdout=pipe, stderr=pipe
    )
    printed, complaints = await ran.communicate()
    assert ran.returncode == 0, complaints.decode()
    assert shell.house.received("create_request") == 1
    return printed.decode()


@pytest.mark.parametrize("block", CLIENTS.blocks("python"), ids=repr)
async def test_an_example_in_python(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell()
    values = f"GATEWAY = {shell.house.running.public_url!r}; KEY = {shell.keys['marketing']!r}\n"
    printed = await run(shell, sys.executable, "-c", HURRY + values + block.text)
    assert "https://artifacts.example/" in printed or "RequestStatus" in printed


@needs_node
@pytest.mark.parametrize("block", CLIENTS.blocks("js"), ids=repr)
async def test_an_example_in_javascript(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell()
    gateway, key = json.dumps(shell.house.running.public_url), json.dumps(shell.keys["marketing"])
    program = f"const GATEWAY = {gateway}, KEY = {key};\n{block.text}"
    assert "https://artifacts.example/" in await run(shell, NODE or "node", "--input-type=module", "-e", program)
