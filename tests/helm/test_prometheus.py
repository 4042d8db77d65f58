"""A real Prometheus scrapes a gateway under traffic, and every alert and panel finds what it asks for."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import House, OpenHouse, Q, digest, team
from tests.helm.expressions import asked, rules
from tests.helm.rendered import HELM
from tests.programs import require

TEAM = f"""
limits:
  - {{limit: 100 USD per month, name: money}}
  - {{limit: 1 uploads per day, mode: shadow}}
  - 500 jobs per day
keys:
  - {{name: main, hash: "{digest("key")}", expires: 2099-01-01}}
"""


@asynccontextmanager
async def prometheus(target: str, folder: Path) -> AsyncIterator[str]:
    """The URL of a server that scrapes this address every half second and evaluates the alerts."""
    require("prometheus", "promtool")
    jobs = [{"job_name": "gateway", "static_configs": [{"targets": [target]}]}]
    often = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    config = {"global": often, "rule_files": [str(HELM / "alerts.yaml")], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


async def query(http: httpx.AsyncClient, url: str, expression: str) -> list[Any]:
    """The series that the expression has now; none while the server is starting."""
    with suppress(httpx.TransportError):
        answer = await http.get(f"{url}/api/v1/query", params={"query": expression})
        if answer.status_code != 503:
            assert answer.status_code == 200, f"{expression}\n{answer.text}"
            found: list[Any] = answer.json()["data"]["result"]
            return found
    return []


async def make_everything_happen(house: House) -> None:
    """One of each kind: jobs that end well and not, uploads, refusals of every kind, faults of upstream."""
    client = house.client("key")
    created = [await client.create(model) for model in ("Veo3", "luma-ray-2", "Veo3")]
    paths = [f"{Q}/requests/{each.json()['request_id']}" for each in created if each.status_code == 200]
    await asyncio.gather(*(client.get(path) for path in paths for _ in range(5)))
    await client.get(f"{Q}/models")
    for _ in range(2):
        await client.call("POST", f"{Q}/upload-url", json={"file_type": "png"})
    await house.client("wrong").get(f"{Q}/models")
    house.break_upstream("get_request:503:1", "create_request:401:1")
    refused = client.create("luma-ray-2")  # which the budget has room for in every round
    await asyncio.gather(*(client.get(path) for path in paths), refused)
    house.break_upstream()
    for reason in ("internal_error", "overloaded"):  # which nobody can bring about from outside
        house.gw.metrics.denied("a", reason).inc()
    house.gw.metrics.jobs_finished("a", "Veo3", "expired").inc()  # nor wait a day for


@pytest.mark.timeout(180)
async def test_every_alert_and_every_panel_finds_what_it_asks_for(open_house: OpenHouse, tmp_path: Path) -> None:
    body = team("a", "key").partition("keys:")[0] + 'models: {allow: ["*"]}\n' + TEAM
    house = await open_house({"a.yaml": body}, speed=100)
    house.break_upstream("list_models:503:1:1")
    assert (await house.client("key").get(f"{Q}/models")).status_code == 200, "at the second try"
    house.break_upstream("create_request:reset-after:1:1", "list_requests:503")
    assert (await house.client("key").create()).json()["code"] == "outcome_unknown"
    house.break_upstream()
    async with prometheus(house.running.admin_url.removeprefix("http://"), tmp_path) as url:
        lacking = dict(asked())

        async def all_found() -> bool:
            await make_everything_happen(house)
            for name, expression in tuple(lacking.items()):
                if await query(house.http, url, expression):
                    del lacking[name]
            return not lacking

        for _ in range(40):
            if await all_found():
                break
            await asyncio.sleep(0.3)
        assert lacking == {}
        answer = (await house.http.get(f"{url}/api/v1/rules")).json()
        (group,) = answer["data"]["groups"]
        assert [each["name"] for each in group["rules"]] == [each["alert"] for each in rules()]
        assert {each["health"] for each in group["rules"]} <= {"ok", "unknown"}


async def test_prometheus_own_linter_finds_nothing_in_what_is_scraped(open_house: OpenHouse) -> None:
    require("promtool")
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day]")})
    await make_everything_happen(house)
    text = (await house.admin("/metrics")).text
    told = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, "")
