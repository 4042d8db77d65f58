"""The examples for developers, each run as a program of its own."""

import asyncio
import json
import os
import shutil
import sys
import time
from typing import Any

import pytest

from gateway.core.webhooks import message, sign, signing_key
from tests.conftest import HOOK_SECRET
from tests.docs.conftest import OpenShell, Shell
from tests.docs.pages import CLIENTS, Block
from tests.scripted_upstream import ScriptedUpstream, answering, response

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None and os.environ.get("CI") != "true", reason="node is not installed")

SECRETS = pytest.mark.parametrize("secret", [HOOK_SECRET, "a secret that is no base64"], ids=["base64", "text"])

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


def is_of_webhooks(block: Block) -> bool:
    return "webhook-signature" in block.text


def makes_events(block: Block) -> bool:
    return is_of_webhooks(block) and "send_event" in block.text


def checks_signatures(block: Block) -> bool:
    return is_of_webhooks(block) and not makes_events(block)


def calls(language: str) -> list[Block]:
    """The examples that make a job."""
    return [block for block in CLIENTS.blocks(language) if not is_of_webhooks(block)]


@pytest.mark.parametrize("block", calls("python"), ids=repr)
async def test_an_example_in_python(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell()
    values = f"GATEWAY = {shell.house.running.public_url!r}; KEY = {shell.keys['marketing']!r}\n"
    printed = await run(shell, sys.executable, "-c", HURRY + values + block.text)
    assert "https://artifacts.example/" in printed or "RequestStatus" in printed


@needs_node
@pytest.mark.parametrize("block", calls("js"), ids=repr)
async def test_an_example_in_javascript(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell()
    gateway, key = json.dumps(shell.house.running.public_url), json.dumps(shell.keys["marketing"])
    program = f"const GATEWAY = {gateway}, KEY = {key};\n{block.text}"
    assert "https://artifacts.example/" in await run(shell, NODE or "node", "--input-type=module", "-e", program)


def signed(secret: str) -> tuple[dict[str, str], str]:
    """The headers and the body of an event that is signed as the gateway does it."""
    now, body = int(time.time()), message("request.success", 1_800_000_000, b'{"prompt":"\xc3\xa4"}')  # noqa: TID251 - a receiver's clock
    signature = sign(signing_key(secret), "msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": f"v1,AAAA {signature}"}
    return headers, body.decode()


def altered(secret: str) -> list[tuple[dict[str, str], str]]:
    """Events that are not the gateway's: another body, id, time, signature, or none of today."""
    headers, body = signed(secret)
    return [
        (headers, body + " "),
        (headers | {"webhook-id": "msg_2"}, body),
        (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}, body),
        (headers | {"webhook-timestamp": "1795435200"}, body),
        (headers | {"webhook-signature": "v1,AAAA"}, body),
    ]


@SECRETS
async def test_the_example_in_python_tells_signatures_apart(secret: str) -> None:
    (block,) = filter(checks_signatures, CLIENTS.blocks("python"))
    names: dict[str, Any] = {}
    exec(block.text, names)
    headers, body = signed(secret)
    assert names["read_event"](secret, headers, body.encode())["data"] == {"prompt": "ä"}
    for other, text in altered(secret):
        with pytest.raises(ValueError):
            names["read_event"](secret, other, text.encode())


@SECRETS
async def test_an_event_that_is_made_to_try_a_receiver_is_believed(secret: str) -> None:
    (reads,), (makes,) = (filter(chosen, CLIENTS.blocks("python")) for chosen in (checks_signatures, makes_events))
    names: dict[str, Any] = {}
    exec(reads.text + makes.text, names)
    async with ScriptedUpstream(answering(response(b""))) as receiver:
        url = f"{receiver.url}/gmi"
        status = await asyncio.to_thread(names["send_event"], secret, url, {"status": "success"})
        (request,) = receiver.requests
    event = names["read_event"](secret, dict(request.headers), request.body)
    assert (status, request.target, event["data"]) == (200, "/gmi", {"status": "success"})


@needs_node
@SECRETS
async def test_the_example_in_javascript_tells_signatures_apart(secret: str) -> None:
    (block,) = filter(checks_signatures, CLIENTS.blocks("js"))
    others = json.dumps(altered(secret))
    values = f"const SECRET = {json.dumps(secret)}, SIGNED = {json.dumps(signed(secret))}, OTHERS = {others};"
    program = """
      console.log(readEvent(SECRET, SIGNED[0], Buffer.from(SIGNED[1])).data.prompt);
      for (const [headers, body] of OTHERS) {
        try {
          readEvent(SECRET, headers, Buffer.from(body));
          console.log("believed");
        } catch {
          console.log("refused");
        }
      }"""
    ran = await asyncio.create_subprocess_exec(
        NODE or "node",
        "--input-type=module",
        "-e",
        f"{block.text}\n{values}\n{program}",
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await ran.communicate()
    assert printed.decode().split() == ["ä", *["refused"] * len(altered(secret))]


def test_the_example_event_is_shaped_as_events_are() -> None:
    shown = next(block.text for block in CLIENTS.blocks("text") if "webhook-id" in block.text)
    assert shown.splitlines()[-1].startswith(message("request.success", 1795435200, b"{").decode()[:-2])
