"""Commands at a real terminal: in colour, no wider than it, and with the words that a pipe gets."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from gateway.cli.display import BAD, Marked
from gateway.cli.terminal import show_line, show_marked, show_table
from tests.docs.pages import ROOT

EXPLAIN = ("explain", "--team", "research", "--model", "Veo3")
COMMANDS = (EXPLAIN, ("check",), ("keys", "list"), ("doctor", "--simulate"), ("diff", "policies", "more"))
MORE = f"team: more\nkeys: [{{name: web, hash: 'sha256:{'1' * 64}'}}]\n"

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands run: the sample policies with a team to warn of, and a set with another limit."""
    for name, limit in (("policies", "20 jobs"), ("more", "30 jobs")):
        for path in (ROOT / "policies").rglob("*.yaml"):
            copy = tmp_path / name / path.relative_to(ROOT / "policies")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace("20 jobs", limit))
        (tmp_path / name / "more.yaml").write_text(MORE)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    """Nothing that a command reads, but a terminal's kind, and by what coverage finds its way into a process."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COVERAGE")}
    return {**kept, "TERM": "xterm-256color", **more}


def at_a_terminal(folder: Path, *arguments: str, columns: int = 80, **more: str) -> str:
    """What the command writes to a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "gateway", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment(**more), stdout=theirs, stdin=subprocess.DEVNULL):
        os.close(theirs)
        written = b""
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:
            pass  # the other side is closed
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def in_a_pipe(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "gateway", *arguments]
    ran = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return ran.stdout


def words(text: str) -> list[str]:
    """The text without its layout. How full the disk is changes meanwhile."""
    return re.sub(r"[\d.]+ GiB", "GiB", text).split()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_terminal_and_a_pipe_get_the_same_words(folder: Path, command: tuple[str, ...]) -> None:
    plain, coloured = in_a_pipe(folder, *command), at_a_terminal(folder, *command, columns=400)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert words(_STYLE.sub("", coloured)) == words(plain) != []


def test_what_is_long_goes_on_below_itself(folder: Path) -> None:
    lines = _STYLE.sub("", at_a_terminal(folder, *EXPLAIN, columns=60)).splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith("✗ limit.pocket-money"))
    start = lines[first].index("Takes")
    assert lines[first + 1][:start].strip() == ""
    assert max(map(len, lines[first : first + 3])) <= 60


def test_no_colour_where_none_is_wanted(folder: Path) -> None:
    assert "\x1b[3" not in at_a_terminal(folder, *EXPLAIN, NO_COLOR="1")


def test_what_looks_like_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_marked([Marked("✗", BAD, "[red]team", "[bold]gone :smile:")], "  ")
    show_table(("[A]", "B"), [("[red]", "1")], frozenset({1}))
    show_line("[red]the end", BAD)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["  ✗ [red]team  [bold]gone :smile:", "[A]    B", "[red]  1", "[red]the end"]
