"""A supervisor and its workers, as real processes: started by a script, told by signals, observed through files."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.server.workers import pause_after

SCRIPT = """
import os, select, signal, sys, time
from gateway.server import workers
from gateway.server.workers import Post, Supervisor

workers.FIRST_PAUSE = 0.05
folder = sys.argv[1]

def work(post: Post) -> int:
    with open(f"{folder}/{post.number}.{os.getpid()}", "w"):
        pass
    if os.path.exists(f"{folder}/fail"):
        return 2
    while os.path.exists(f"{folder}/hold"):
        time.sleep(0.01)
    read, write = os.pipe()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.write(write, bytes([number])))
    post.announce.write("listening on http://x (public)\\nlistening on http://y (admin)\\n")
    post.announce.flush()
    while True:
        ready, _, _ = select.select([read, post.lifeline], [], [])
        if post.lifeline in ready:
            return 0
        number = os.read(read, 1)[0]
        with open(f"{folder}/told", "a") as told:
            told.write(f"{post.number} {signal.Signals(number).name}\\n")
        if number == signal.SIGTERM:
            return int(os.path.exists(f"{folder}/cut"))

def clear_away(name: str) -> None:
    with open(f"{folder}/cleared", "a") as cleared:
        cleared.write(f"{name}\\n")

sys.exit(Supervisor(2, work, sys.stdout, clear_away).run())
"""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Crew:
    """The script, running in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-c", SCRIPT, str(folder)]
        self.parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def pids(self, number: int) -> list[int]:
        """Every process that was worker `number`, the latest last."""
        files = sorted(self.folder.glob(f"{number}.*"), key=lambda file: file.stat().st_mtime_ns)
        return [int(file.suffix[1:]) for file in files]

    def replace(self, number: int) -> float:
        """Kill a worker; the seconds until there was another in its place."""
        before, began = len(self.pids(number)), time.monotonic()
        os.kill(self.pids(number)[-1], signal.SIGKILL)
        until(lambda: len(self.pids(number)) > before)
        return time.monotonic() - began

    def announced(self) -> list[str]:
        assert self.parent.stdout is not None
        return [self.parent.stdout.readline() for _ in range(2)]

    def told(self) -> list[str]:
        file = self.folder / "told"
        return sorted(file.read_text().splitlines()) if file.exists() else []

    def end(self) -> tuple[int, str]:
        """What is left of both outputs, and the status."""
        _, errors = self.parent.communicate(timeout=30)
        return self.parent.returncode, errors


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(tmp_path)
    yield crew
    crew.parent.kill()
    crew.parent.communicate()
    until(lambda: not any(is_there(pid) for number in (0, 1) for pid in crew.pids(number)))


def is_there(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("lived", "last", "pause"),
    [(1, 0, 1), (1, 1, 2), (60, 2, 4), (1, 16, 30), (1, 30, 30), (61, 0, 1), (61, 30, 1)],
)
def test_a_worker_that_keeps_ending_is_replaced_more_and_more_slowly(lived: float, last: float, pause: float) -> None:
    assert pause_after(lived, last) == pause


def test_all_serve_before_it_is_announced_once(crew: Crew) -> None:
    assert crew.announced() == ["listening on http://x (public)\n", "listening on http://y (admin)\n"]
    assert [len(crew.pids(number)) for number in (0, 1)] == [1, 1]
    crew.parent.send_signal(signal.SIGTERM)
    assert crew.end() == (0, "")
    assert crew.told() == ["0 SIGTERM", "1 SIGTERM"]


def test_signals_reach_every_worker_and_ctrl_c_means_the_same_as_sigterm(crew: Crew) -> None:
    crew.announced()
    crew.parent.send_signal(signal.SIGHUP)
    until(lambda: crew.told() == ["0 SIGHUP", "1 SIGHUP"])
    assert {os.getpgid(pid) for pid in (crew.pids(0)[0], crew.pids(1)[0])}.isdisjoint({os.getpgid(crew.parent.pid)})
    crew.parent.send_signal(signal.SIGINT)
    assert crew.end()[0] == 0
    assert crew.told() == ["0 SIGHUP", "0 SIGTERM", "1 SIGHUP", "1 SIGTERM"]


def test_a_worker_that_is_killed_is_replaced(crew: Crew) -> None:
    crew.announced()
    crew.replace(1)
    crew.replace(0)
    crew.parent.send_signal(signal.SIGTERM)
    status, errors = crew.end()
    assert status == 0
    assert (crew.folder / "cleared").read_text() == "2\n1\n", "by their names, as another took each one's place"
    assert errors.count("worker ended") == 2


def test_each_pause_is_remembered_for_the_next_one(crew: Crew) -> None:
    crew.announced()
    assert [crew.replace(1) for _ in range(3)][-1] >= 0.05 * 2 * 2


def test_the_worst_status_of_the_end_is_the_whole_ones(crew: Crew) -> None:
    crew.announced()
    (crew.folder / "cut").touch()
    crew.parent.send_signal(signal.SIGTERM)
    assert crew.end()[0] == 1


def test_no_worker_outlives_its_parent(crew: Crew) -> None:
    crew.announced()
    crew.parent.kill()
    crew.parent.communicate()
    until(lambda: not any(is_there(crew.pids(number)[0]) for number in (0, 1)))


def test_a_reload_does_not_end_a_worker_that_is_starting(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    crew = Crew(tmp_path)
    until(lambda: crew.pids(0))
    for _ in range(5):
        crew.parent.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    (tmp_path / "hold").unlink()
    assert len(crew.announced()) == 2
    crew.parent.send_signal(signal.SIGTERM)
    assert crew.end() == (0, "")
    assert [len(crew.pids(number)) for number in (0, 1)] == [1, 1]


def test_what_cannot_start_is_tried_once(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    crew = Crew(tmp_path)
    assert crew.end() == (2, "")
    assert [len(crew.pids(number)) for number in (0, 1)] == [1, 0]
