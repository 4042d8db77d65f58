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


async def run(shell: Shell, program: list[str], preamble: str, block: Block) -> str:
    """What the example prints with GATEWAY and KEY set before it. Fails where the example does."""
    key = shell.keys["marketing"]
    values = f"{preamble}GATEWAY = {json.dumps(shell.house.running.public_url)};{preamble}KEY = {json.dumps(key)}\n"
    ran = await asyncio.create_subprocess_exec(
        *program, values + block.text, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaints = await ran.communicate()
    assert ran.returncode == 0, complaints.decode()
    assert shell.house.received("create_request") == 1
    return printed.decode()


@pytest.mark.parametrize("block", CLIENTS.blocks("python"), ids=repr)
async def test_an_example_in_python(block: Block, open_shell: OpenShell) -> None:
    printed = await run(await open_shell(), [sys.executable, "-c"], "", block)
    assert "https://artifacts.example/" in printed or "RequestStatus" in printed


@needs_node
@pytest.mark.parametrize("block", CLIENTS.blocks("js"), ids=repr)
async def test_an_example_in_javascript(block: Block, open_shell: OpenShell) -> None:
    printed = await run(await open_shell(), [NODE or "node", "--input-type=module", "-e"], "const ", block)
    assert "https://artifacts.example/" in printed
