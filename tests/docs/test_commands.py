"""Every command of the pages is run: what makes something is run by .ci/run, all else here and for real."""

import asyncio
import json
import re
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.settings import Settings
from tests.docs.conftest import OpenShell, Shell
from tests.docs.pages import PAGES, README, ROOT, Block

SCRIPTS = [block for page in PAGES for block in page.blocks("sh")]
MADE = [block for block in SCRIPTS if block.text.startswith("make ")]
SERVED = [block for block in SCRIPTS if " serve " in block.text]
TRANSCRIPTS = [block for page in PAGES for block in page.blocks("console")]


def test_everything_that_is_made_is_made_by_ci() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    inline = [code for page in PAGES for code in page.codes() if code.startswith("make ")]
    for command in [*inline, *(line for block in MADE for line in block.text.splitlines())]:
        assert re.search(rf"^{command}\b", ci, re.MULTILINE), command


@pytest.mark.parametrize("block", [block for block in SCRIPTS if block not in MADE + SERVED], ids=repr)
async def test_a_script_runs(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell(relays="/artifacts" in block.text)
    printed = await shell.run(block.text)
    assert '"code":' not in printed


async def test_a_key_made_as_the_readme_says_opens_the_gateway_within_two_seconds(open_shell: OpenShell) -> None:
    shell = await open_shell()
    (block,) = (block for block in README.blocks("sh") if "keys new" in block.text)
    key = re.findall(r"^gmigw_\w+$", await shell.run(block.text), re.MULTILINE)[0]

    async def opens() -> bool:
        return bool((await shell.house.client(key).get("/gateway/v1/usage")).status_code == 200)

    await shell.house.eventually(opens, seconds=2.0)


@pytest.mark.parametrize("block", TRANSCRIPTS, ids=repr)
async def test_a_transcript_is_what_is_printed(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell()
    if "usage" in block.text:
        await make_images(shell, 2)
    command, _, expected = block.text.removeprefix("$ ").partition("\n")
    printed = (await shell.try_(f"KEY={shell.keys['research']}\n{command}")).stdout
    printed = printed.replace(shell.house.upstream.url, Settings().upstream_url)
    if expected.endswith("…\n"):
        printed = printed[: len(expected) - 2] + "…\n"
    assert without_dates(printed) == without_dates(expected)


@pytest.mark.parametrize("block", SERVED, ids=repr)
async def test_what_serves_listens_drains_and_ends_well(block: Block, open_shell: OpenShell) -> None:
    shell = await open_shell()
    script = block.text.replace("…", "a-key").replace("gateway.db", "other.db")
    environment = shell.environment | {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0", "GATEWAY_DRAIN_DELAY": "0"}
    del environment["GATEWAY"], environment["KEY"]
    served = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=shell.folder, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert served.stderr is not None
        urls: list[str] = []
        while len(urls) < 2:
            line = await asyncio.wait_for(served.stderr.readline(), 30)
            assert line, "it ended before it listened"
            urls += re.findall(r"listening on (\S+)", line.decode())
        assert (await shell.house.http.get(f"{urls[1]}/readyz")).status_code == 200
        served.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(served.wait(), 20) == 0
    finally:
        if served.returncode is None:
            served.kill()
            await served.wait()


async def test_the_refusal_that_is_shown_is_what_a_client_gets(open_shell: OpenShell) -> None:
    shell = await open_shell()
    (block,) = README.blocks("json")
    refused = (await make_images(shell, 3)).json()
    assert comparable(refused) == comparable(json.loads(block.text))


async def make_images(shell: Shell, number: int) -> Any:
    """The answer to the last of so many creates by `research`, which may make two."""
    client = shell.house.client(shell.keys["research"])
    answers = [await client.create("seedream-5.0-lite") for _ in range(number)]
    return answers[-1]


def without_dates(text: str) -> str:
    """The text, whatever day it is."""
    return re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)


def comparable(body: Mapping[str, Any]) -> Any:
    """The body without what differs from call to call and from day to day."""
    kept = json.loads(without_dates(json.dumps(body)))
    kept["request_id"] = len(kept["request_id"])
    del kept["rate_limit"]["retry_after_ms"]
    return kept
