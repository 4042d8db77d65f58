"""Policy files go wrong or change under a running gateway: rows PO1, PO2, PO4, PO5, PO6 and PO9."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway import duties
from tests.conftest import House, OpenHouse, Q, digest, team
from tests.served import environment_of, eventually, served

GOOD = team("a", "key", "limits: [10 jobs per day]")
BAD = {
    "invalid-yaml": "team: [\n",
    "unknown-field": GOOD + "limit: [5 jobs per day]\n",
    "misspelled-nested": GOOD + "uploads: {file_typs: [png]}\n",
    "duplicate-key": GOOD + "team: b\n",
    "empty": "",
    "null-limits": team("a", "key", "limits: null"),
    "wrong-type": team("a", "key", "limits: 5"),
    "sexagesimal": GOOD.replace("name: main", "name: 1:30"),
    "multi-document": GOOD + "---\n" + team("b", "other"),
    "alias-bomb": "a: &a [x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)),
    "python-tag": "team: !!python/object/apply:os.system ['true']\n",
    "depth": "limits: " + "[" * 5000,
    "nan": team("a", "key", "limits: [{limit: .nan USD per month}]"),
    "negative": team("a", "key", "limits: [-5 jobs per day]"),
    "plaintext-key": GOOD.replace(digest("key"), "key"),
    "bad-utf-8": "team: \udcff\n",
    "large": "#" * (2 * 1024 * 1024),
}


async def reload(house: House) -> bool:
    """Read the files again, as an admin asks for it. Whether they were accepted."""
    answer = await house.http.post(f"{house.running.admin_url}/reload")
    return answer.status_code == 200


async def shown(house: House, name: str) -> str:
    lines = (await house.admin("/metrics")).text.splitlines()
    return next(line.rpartition(" ")[2] for line in lines if line.startswith(f"gateway_{name} "))


class Load:
    """A client that asks all the while, and a heart that beats; `longest` is the longest between two beats."""

    def __init__(self, house: House, key: str) -> None:
        self._client = house.client(key)
        self.statuses: list[int] = []
        self.bodies: list[Any] = []
        self.longest = 0.0
        self._tasks = [asyncio.ensure_future(self._ask()), asyncio.ensure_future(self._beat())]

    async def _ask(self) -> None:
        while True:
            answer = await self._client.get("/gateway/v1/usage")
            self.statuses.append(answer.status_code)
            self.bodies.append(answer.json())

    async def _beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.monotonic() - began)

    def has_seen(self, generation: int) -> bool:
        """Whether the last answer is of this one."""
        return bool(self.bodies) and bool(self.bodies[-1]["limits"][0]["limit"] == generation)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def test_po1_with_a_bad_file_the_command_ends_before_it_listens(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(GOOD)
    (tmp_path / "policies" / "b.yaml").write_text("team: b\nmodels: {alow: [Veo3]}\n")
    async with served(environment_of(tmp_path, "http://127.0.0.1:1")) as gateway:
        assert await gateway.ends() == 2
        said = "".join(gateway.said)
        assert re.search(rf"^{re.escape(str(tmp_path))}/policies/b.yaml:2:10: .*alow", said, re.MULTILINE)
        assert "listening" not in said
        assert "Traceback" not in said
    assert not (tmp_path / "gateway.db").exists()


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
async def test_po2_a_bad_set_changes_nothing_and_is_said(open_house: OpenHouse, text: str) -> None:
    house: House = await open_house({"a.yaml": GOOD})
    before = house.gw.policies.version
    load = Load(house, "key")
    (house.policies / "a.yaml").write_bytes(text.encode(errors="surrogateescape"))
    assert not await reload(house)
    stalls = [load.longest]
    while min(stalls) >= 0.25 and len(stalls) < 5:  # other work on the machine may stall any one of them
        load.longest = 0.0
        assert not await reload(house)
        stalls.append(load.longest)
    await load.stop()

    assert house.gw.policies.version == before
    assert await shown(house, "policy_last_reload_successful") == "0.0"
    ready = await house.admin("/readyz?verbose")
    assert ready.status_code == 200
    problems = ready.json()["policies"]["problems"]
    assert problems
    assert all(str(house.policies) in problem for problem in problems)
    assert set(load.statuses) <= {200}
    assert (await house.client("key").create()).status_code == 200
    assert min(stalls) < 0.25

    (house.policies / "a.yaml").write_text(GOOD + "description: mended\n")
    assert await reload(house)
    assert await shown(house, "policy_last_reload_successful") == "1.0"


@pytest.mark.parametrize("name", ["no", "010", "null-and-void"])
async def test_po2_a_name_is_the_text_it_looks_like(open_house: OpenHouse, name: str) -> None:
    house: House = await open_house({"a.yaml": GOOD.replace("team: a", f"team: {name}")})
    assert (await house.client("key").get("/gateway/v1/usage")).json()["team"] == name


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


@pytest.mark.parametrize("spoil", [Path.unlink, make_pipe, make_folder, make_loop])
async def test_po5_what_stands_in_a_files_place_neither_hangs_nor_changes_anything(
    open_house: OpenHouse, spoil: Callable[[Path], None]
) -> None:
    house: House = await open_house({"a.yaml": GOOD})
    spoil(house.policies / "a.yaml")
    async with asyncio.timeout(5):
        assert not await reload(house)
    assert (await house.client("key").create()).status_code == 200


async def test_po6_two_files_that_do_not_fit_are_refused_until_both_are_new(open_house: OpenHouse) -> None:
    house: House = await open_house({"a.yaml": GOOD})
    (house.policies / "a.yaml").write_text(GOOD + "credential: studio\n")
    assert not await reload(house)
    (house.policies / "g.yaml").write_text("credentials: {studio: {api_key: env:GMI_API_KEY}}\n")
    assert await reload(house)
    assert (await house.client("key").get(f"{Q}/models")).status_code == 200


def open_files() -> int:
    """How many this process has open, but for the ledger's: of those there are more once several calls met there."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += "/gateway.db" not in str(each.readlink())
    return count


def config_map(folder: Path, generation: int) -> None:
    """Put a generation in force as Kubernetes does: a new folder, and one rename of the link to it."""
    fresh = folder / f"..{generation:06}"
    fresh.mkdir()
    limit = f"limits: [{{limit: {generation} jobs per day, name: mine}}]"
    (fresh / "a.yaml").write_text(team("a", "key", limit))
    (fresh / "gateway.yaml").write_text(
        f"defaults: {{limits: [{{limit: {generation} uploads per day, name: inherited}}]}}\n"
    )
    for name in ("a.yaml", "gateway.yaml"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    data, before = folder / "..data", None
    if data.is_symlink():
        before = folder / data.readlink()
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").replace(data)
    if before is not None:
        shutil.rmtree(before)


async def test_po4_under_hundreds_of_swaps_every_answer_is_of_one_generation(
    open_house: OpenHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "READ_POLICIES_EVERY", 0.01)
    (tmp_path / "policies").mkdir()
    config_map(tmp_path / "policies", 1)
    house: House = await open_house({})
    load = Load(house, "key")
    await house.eventually(partial(load.has_seen, 1))
    descriptors = open_files()
    for generation in range(2, 302):
        await asyncio.to_thread(config_map, tmp_path / "policies", generation)
        await asyncio.sleep(0.002)
        if generation % 50 == 1:  # a slow machine would see none between the first and the last
            await house.eventually(partial(load.has_seen, generation))
    await load.stop()
    assert set(load.statuses) == {200}
    seen = [{limit["limit"] for limit in body["limits"]} for body in load.bodies]
    assert all(len(generation) == 1 for generation in seen)
    assert len({generation for each in seen for generation in each}) > 5

    # At any one moment a reading of the folder may be under way, which holds some open.
    await house.eventually(lambda: open_files() <= descriptors + 2)

    async def is_told() -> bool:
        return await shown(house, "policy_last_reload_successful") == "1.0"

    await house.eventually(is_told)  # calls meet the new set a moment before it is in the metrics


async def test_po9_a_key_is_rotated_on_the_running_command(tmp_path: Path) -> None:
    file = tmp_path / "policies" / "a.yaml"
    file.parent.mkdir()
    old, new = f"  - name: main\n    hash: {digest('old')}\n", f"  - name: next\n    hash: {digest('new')}\n"

    def policy(*keys: str) -> None:
        file.write_text("team: a\nkeys:\n" + "".join(keys) + 'models: {allow: ["*"]}\n')

    policy(old)
    async with served(environment_of(tmp_path, "http://127.0.0.1:1")) as gateway:

        async def statuses() -> list[int]:
            return [(await gateway.client(key).get("/gateway/v1/usage")).status_code for key in ("old", "new")]

        async def generation() -> str:
            metrics = (await gateway.ask_admin("/metrics")).text
            return next(line for line in metrics.splitlines() if line.startswith("gateway_policy_info{"))

        assert await statuses() == [200, 401]
        hashes = [await generation()]
        for keys, expected in (((old, new), [200, 200]), ((new,), [401, 200])):
            policy(*keys)
            await eventually(partial(_are, statuses, expected), 2.0)
            hashes.append(await generation())
        assert len(set(hashes)) == 3


async def _are(ask: Callable[[], Awaitable[list[int]]], expected: list[int]) -> bool:
    return await ask() == expected
