"""Reloading: only good sets come into force, whole, and soon."""

import asyncio
import itertools
import logging
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from gateway.core.nodes import Report
from gateway.policies import Policies, files
from gateway.policies.files import PolicyFile
from tests.policy_texts import DIGEST, OTHER_DIGEST, TEAM

BAD = Path(__file__).parent / "bad"
BAD_SETS = sorted(path.stem for path in BAD.glob("*.expected") if not path.name.startswith("warn-"))


def now() -> float:
    """Unix seconds, which files are stamped with."""
    return time.time_ns() / 1e9


def team(name: str, **more: str) -> str:
    fields = "".join(f"{field}: {value}\n" for field, value in more.items())
    return f"team: {name}\nmodels: {{allow: [Veo3]}}\n{fields}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.yaml").write_text(TEAM)
    return folder


@pytest.fixture
def policies(folder: Path) -> Policies:
    policies = Policies(folder)
    assert policies.reload(100.0)
    return policies


def test_before_the_first_good_set_nobody_is_known(folder: Path) -> None:
    policies = Policies(folder)
    assert policies.current.callers == {}
    assert policies.current.teams == {}
    assert not policies.last_reload_ok
    assert policies.changed(now())


def test_a_good_set_is_in_force_from_its_instant(policies: Policies) -> None:
    assert list(policies.current.teams) == ["a"]
    assert policies.version == policies.current.version
    assert (policies.last_reload_ok, policies.last_reload_at, policies.problems) == (True, 100.0, ())
    assert not policies.changed(now())


@pytest.mark.parametrize("name", BAD_SETS)
def test_po2_a_bad_set_changes_nothing_and_is_said_once(
    name: str, folder: Path, policies: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    before = policies.current
    if (BAD / name).is_dir():
        shutil.copytree(BAD / name, folder, dirs_exist_ok=True)
    else:
        shutil.copy(BAD / f"{name}.yaml", folder / "a.yaml")
    assert policies.changed(now())
    caplog.clear()
    assert not policies.reload(200.0)
    assert not policies.reload(201.0)
    assert policies.current is before
    assert (policies.last_reload_ok, policies.last_reload_at) == (False, 100.0)
    assert policies.problems
    assert not policies.changed(now())
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "policies refused, the last good ones stay in force")
    ]
    assert "gmigw_a" not in str(caplog.records[0].__dict__)


def test_who_asks_is_told_also_that_nothing_changed(
    folder: Path, policies: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert policies.reload(200.0)
    assert policies.reload(201.0, asked=True)
    (folder / "a.yaml").write_text("team: [")
    assert not policies.reload(202.0, asked=True)
    assert not policies.reload(203.0, asked=True)
    (folder / "a.yaml").write_text(f"{TEAM}timezone: Europe/Berlin\n")
    assert policies.reload(204.0, asked=True)
    refused = (logging.ERROR, "policies refused, the last good ones stay in force")
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.INFO, "policies unchanged"),
        refused,
        refused,
        (logging.INFO, "policies in force"),
    ]


def test_without_a_good_set_the_one_who_starts_says_why(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a.yaml").write_text("x")
    policies = Policies(folder)
    assert not policies.reload(100.0)
    assert len(policies.problems) == 1
    assert caplog.records == []


def test_only_a_set_with_problems_tells_any(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    policies = Policies(folder)
    assert policies.reload(100.0)
    (folder / "a.yaml").write_text("team: b\n")
    assert policies.reload(200.0)
    good, warned = (record.__dict__["fields"] for record in caplog.records)
    assert set(good) == {"version"}
    assert (warned["found"], len(warned["problems"])) == (1, 1)


def test_an_override_that_is_over_is_warned_of(folder: Path) -> None:
    override = "overrides: [{limit: 9 jobs per day, until: 2026-11-23, reason: x}]\n"
    (folder / "a.yaml").write_text(f"{TEAM}limits: [5 jobs per day]\n{override}")
    policies = Policies(folder)
    assert policies.reload(1795392000.0)
    assert [problem.name for problem in policies.problems] == ["override-over"]


def test_the_old_files_again_are_good_again(folder: Path, policies: Policies) -> None:
    version = policies.version
    (folder / "a.yaml").write_text("x")
    assert not policies.reload(200.0)
    (folder / "a.yaml").write_text(TEAM)
    assert policies.changed(now())
    assert policies.reload(300.0)
    assert (policies.version, policies.last_reload_at, policies.problems) == (version, 300.0, ())


def test_a_warning_is_reported_and_the_set_used(folder: Path, policies: Policies) -> None:
    (folder / "a.yaml").write_text("team: b\n")
    assert policies.reload(200.0)
    assert [problem.name for problem in policies.problems] == ["allows-nothing"]
    assert list(policies.current.teams) == ["b"]


def test_the_catalogue_is_asked_for_at_each_reload(folder: Path) -> None:
    known: set[str] = set()
    policies = Policies(folder, lambda: frozenset(known) if known else None)
    assert policies.reload(1.0)
    assert [problem.name for problem in policies.problems] == []
    known.add("Veo4")
    assert policies.reload(2.0)
    assert [problem.name for problem in policies.problems] == ["matches-nothing"]


@pytest.mark.parametrize("disaster", ["deleted", "folder", "pipe", "loop", "huge", "gone altogether"])
def test_po5_whatever_takes_a_files_place_the_old_policy_stays(disaster: str, folder: Path, policies: Policies) -> None:
    file = folder / "a.yaml"
    file.unlink()
    if disaster == "folder":
        file.mkdir()
    elif disaster == "pipe":
        os.mkfifo(file)
    elif disaster == "loop":
        file.symlink_to(file)
    elif disaster == "huge":
        with file.open("wb") as stream:
            stream.truncate(100_000_000)
    elif disaster == "gone altogether":
        folder.rmdir()
    began = time.perf_counter()
    assert policies.changed(now())
    assert not policies.reload(200.0)
    assert list(policies.current.teams) == ["a"]
    assert time.perf_counter() - began < 1.0


def test_po6_files_that_need_each_other_come_into_force_together(folder: Path, policies: Policies) -> None:
    (folder / "a.yaml").write_text(team("a", credential="studio"))
    assert not policies.reload(200.0)
    assert policies.current.teams["a"].credential == "default"
    (folder / "gateway.yaml").write_text("credentials: {studio: {api_key: env:KEY}}\n")
    assert policies.reload(201.0)
    assert policies.current.teams["a"].credential == "studio"


def test_po7_a_change_that_keeps_size_and_times_is_seen(folder: Path, policies: Policies) -> None:
    file = folder / "a.yaml"
    facts = file.stat()
    file.write_text(TEAM.replace("Veo3", "Veo4"))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    assert policies.changed(now())
    assert policies.reload(200.0)
    assert policies.current.teams["a"].allow == ("Veo4",)


def test_po7_an_older_file_in_its_place_is_seen(folder: Path, policies: Policies, tmp_path: Path) -> None:
    older = tmp_path / "older.yaml"
    older.write_text(team("older"))
    os.utime(older, (1, 1))
    older.replace(folder / "a.yaml")
    assert policies.changed(now())
    assert policies.reload(200.0)
    assert list(policies.current.teams) == ["older"]


def test_po7_touching_a_file_changes_nothing(folder: Path, policies: Policies) -> None:
    os.utime(folder / "a.yaml", (1, 1))
    assert not policies.changed(now())


def test_a_file_that_was_let_alone_is_not_read_again(
    folder: Path, policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = now() + 60
    assert not policies.changed(later)
    reads: list[str] = []
    really = files._read

    def read(path: str, name: str, report: Report) -> PolicyFile | None:
        reads.append(path)
        return really(path, name, report)

    monkeypatch.setattr(files, "_read", read)
    assert not policies.changed(later)
    assert reads == []
    (folder / "a.yaml").write_text(TEAM.replace("Veo3", "Veo4"))
    assert policies.changed(later)
    assert reads == [str(folder / "a.yaml")]
    (folder / "a.yaml").unlink()
    assert policies.changed(later)
    assert reads == [str(folder / "a.yaml")]


def test_a_file_that_was_written_just_now_is_read_again(folder: Path, policies: Policies) -> None:
    for number in range(50):
        (folder / "a.yaml").write_text(team(f"t{number % 2}"))
        assert policies.changed(now())
        assert policies.reload(200.0)


def test_po7_many_writes_are_one_reload_of_the_last(folder: Path, policies: Policies) -> None:
    for number in range(100):
        (folder / "a.yaml").write_text(team(f"t{number}"))
    assert policies.changed(now())
    assert policies.reload(200.0)
    assert list(policies.current.teams) == ["t99"]
    assert not policies.changed(now())


def test_po9_keys_overlap_while_they_are_rotated(folder: Path, policies: Policies) -> None:
    old, new = f"{{name: old, hash: sha256:{DIGEST}}}", f"{{name: new, hash: sha256:{OTHER_DIGEST}}}"
    found = []
    for keys in (f"[{old}]", f"[{old}, {new}]", f"[{new}]"):
        (folder / "a.yaml").write_text(team("a", keys=keys))
        assert policies.reload(200.0)
        found.append(set(policies.current.callers))
    assert found == [{DIGEST}, {DIGEST, OTHER_DIGEST}, {OTHER_DIGEST}]


def test_po9_replicas_with_the_same_files_have_the_same_version(folder: Path, policies: Policies) -> None:
    shutil.copytree(folder, folder.parent / "replica")
    replica = Policies(folder.parent / "replica")
    assert replica.reload(200.0)
    assert replica.version == policies.version
    (folder.parent / "replica" / "a.yaml").write_text(team("b"))
    assert replica.reload(201.0)
    assert replica.version != policies.version


class ConfigMap:
    """A mounted ConfigMap, swapped as the kubelet does: a new folder, a dangling link, one rename."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self._numbers = itertools.count()
        mount.mkdir()

    def swap(self, files: dict[str, str]) -> None:
        generation = self.mount / f"..2026_11_23_{next(self._numbers)}"
        generation.mkdir()
        for name, text in files.items():
            (generation / name).write_text(text)
        draft, data = self.mount / "..data_tmp", self.mount / "..data"
        old = self.mount / data.readlink() if data.is_symlink() else None
        draft.symlink_to(generation.name)
        draft.rename(data)
        for name in files:
            link = self.mount / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        if old is not None:
            shutil.rmtree(old)


def generation(number: int) -> dict[str, str]:
    """Two files that only fit together within one generation."""
    return {
        "a.yaml": team("a", credential=f"c{number}", description=f"'{number}'"),
        "gateway.yaml": f"credentials: {{c{number}: {{api_key: env:KEY}}}}\n",
    }


def test_po4_every_set_in_force_is_one_generation_of_a_config_map(tmp_path: Path) -> None:
    config_map = ConfigMap(tmp_path / "mount")
    config_map.swap(generation(0))
    policies = Policies(tmp_path / "mount")
    assert policies.reload(0.0)
    swapping = threading.Event()
    open_before = len(list(Path("/proc/self/fd").iterdir()))

    def swap() -> None:
        for number in range(1, 51):
            config_map.swap(generation(number % 7))
            time.sleep(0.002)
        config_map.swap(generation(99))
        swapping.set()

    swapper = threading.Thread(target=swap)
    swapper.start()
    while not swapping.is_set():
        if policies.changed(now()):
            policies.reload(1.0)
        current = policies.current
        assert {current.teams["a"].credential} == set(current.credentials) - {"default"}
        assert not any("no credential" in problem.message for problem in policies.problems)
    swapper.join()
    while policies.changed(now()):
        assert policies.reload(2.0)
    assert policies.current.teams["a"].description == "99"
    assert policies.last_reload_ok
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


async def longest_stall(policies: Policies) -> float:
    """Seconds the loop was kept from its work at most while the policies were reloaded in a thread."""
    reloading = asyncio.ensure_future(asyncio.to_thread(policies.reload, 200.0))
    worst, last = 0.0, time.perf_counter()
    while not reloading.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        worst, last = max(worst, now - last), now
    assert not await reloading
    return worst


async def test_po2_the_loop_goes_on_while_a_large_set_is_read(folder: Path, policies: Policies) -> None:
    limits = "".join(f"  - {{limit: {9 + n} jobs per dya, name: n{n}}}\n" for n in range(2000))
    (folder / "a.yaml").write_text(f"{TEAM}limits:\n{limits}")
    # The best of some tries: other work on the machine may stall any one of them.
    assert min([await longest_stall(policies) for _ in range(4)]) < 0.05
    assert len(policies.problems) == 2000


def test_what_another_process_has_in_force_is_adopted_if_it_came_later(folder: Path, policies: Policies) -> None:
    other = Policies(folder)
    (folder / "b.yaml").write_text(team("b"))
    assert other.reload(200.0)
    (folder / "b.yaml").write_text("team: 7\n")
    assert not other.reload(300.0)
    assert not policies.reload(300.0)
    assert not other.adopt(policies.in_force())
    assert policies.adopt(other.in_force())
    assert (policies.version, policies.last_reload_at) == (other.version, 200.0)
    assert list(policies.current.teams) == ["a", "b"]
    assert (policies.last_reload_ok, len(policies.problems)) == (False, 1)
    assert not policies.adopt(other.in_force())
    (folder / "b.yaml").unlink()
    assert policies.changed(now())
    assert policies.reload(400.0)
    assert list(policies.current.teams) == ["a"]


def test_to_adopt_what_is_in_force_here_as_well_is_not_worth_a_word(
    folder: Path, policies: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    other = Policies(folder)
    assert other.reload(200.0)
    (folder / "b.yaml").write_text("team: 7\n")
    assert not policies.reload(300.0)
    caplog.clear()
    assert policies.adopt(other.in_force())
    assert (policies.version, policies.last_reload_at) == (other.version, 200.0)
    assert caplog.records == []


def test_half_of_what_another_process_has_in_force_changes_nothing(folder: Path, policies: Policies) -> None:
    other, version = Policies(folder), policies.version
    (folder / "b.yaml").write_text(team("b"))
    assert other.reload(200.0)
    words = other.in_force()
    for size in (0, 1, len(words) // 2, len(words) - 1):
        assert not policies.adopt(words[:size])
    assert policies.version == version


@pytest.mark.parametrize("name", ["ü.yaml", b"\xff.yaml"])
def test_a_file_of_any_name_is_adopted(folder: Path, policies: Policies, name: str | bytes) -> None:
    other = Policies(folder)
    (folder / os.fsdecode(name)).write_text(team("b"))
    assert other.reload(200.0)
    assert policies.adopt(other.in_force())
    assert policies.version == other.version
