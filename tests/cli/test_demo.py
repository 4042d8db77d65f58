import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.cli import demo
from gateway.cli.demo_calls import Request, send
from tests.command_line import Shell, started
from tests.conftest import Q
from tests.docs.pages import ROOT

DEMO = [sys.executable, "-m", "gateway", "demo", "--port", "0", "--admin-port", "0"]
CODES = ("403 model_not_allowed", "402 budget_exceeded", "429 quota_exceeded")


def test_once_tells_the_whole_story_and_every_step_comes_out() -> None:
    ended = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, check=False, timeout=50)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "✗" not in ended.stdout
    assert ended.stdout.count("   ✓ ") == 14
    assert ended.stdout.count("$ curl -sS ") == 14
    for code in CODES:
        assert f"   ✓ {code}\n" in ended.stdout
    assert ended.stdout.endswith("\nEvery step came out as told.\n")
    assert ended.stdout.startswith(
        "Everything below happens on this machine.\n"
        f"The policies are a copy of those in {ROOT / 'policies'}, with a new key for each team of the story.\n"
    )


def test_it_stays_up_until_told_to_end_and_its_key_works_meanwhile() -> None:
    untold = "import sys; from gateway.cli import demo; from gateway.__main__ import main; "
    untold += "demo.Story.tell = lambda _: demo.asyncio.sleep(0, True); sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", untold, *DEMO[3:]]
    with started(command) as up:
        assert up.stdout is not None
        places: dict[str, str] = {}
        commands: list[str] = []
        while "key of research" not in places:
            line = up.stdout.readline()
            assert line, places
            commands += re.findall(r"\$ (.* --policies .*)\n", line)
            name, _, place = line.strip().partition("  ")
            places[name] = place.strip()
        listing = send(Request("GET", f"{places['gateway']}{Q}/models", places["key of marketing"]))
        ready = send(Request("GET", f"{places['admin']}/readyz"))
        pasted = [subprocess.run(shlex.split(line), capture_output=True, text=True, check=False) for line in commands]
        (folder,) = Path(tempfile.gettempdir()).glob(f"gmi-gateway-demo-{up.pid}-*")
        os.kill(up.pid, signal.SIGINT)
        rest, err = up.communicate(timeout=20)
    assert (listing.status, ready.status) == (200, 200)
    explained, used = pasted
    assert explained.stdout.splitlines()[-1].startswith("refused: 402 budget_exceeded: ")
    assert used.stdout.startswith("TEAM ")
    assert places["policies"] in commands[0]
    assert places["ledger"] in commands[1]
    assert (up.returncode, rest, err) == (0, "", "")
    assert not folder.exists()


def test_sample_policies_that_are_not_there_can_be_pointed_to(shell: Shell, tmp_path: Path) -> None:
    ended = shell.run("demo", "--policies", str(tmp_path / "nowhere"))
    assert ended.status == 2
    where = tmp_path / "nowhere"
    assert ended.err == f"gmi-gateway demo: the sample policies are not in {where}: point to them with --policies DIR\n"


def test_policies_without_the_teams_of_the_story_are_refused(shell: Shell) -> None:
    ended = shell.run("demo", "--policies", str(shell.policies))
    assert ended.status == 2
    assert "cannot be used: no file in " in ended.err
    assert "defines the team `marketing`" in ended.err


def test_policies_that_were_changed_are_named_where_the_story_does_not_come_out(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.demo.Story.tell", lambda _: asyncio.sleep(0, False))
    ended = shell.run("demo", "--once", "--port", "0", "--admin-port", "0")
    assert ended.status == 1
    assert ended.out.endswith(f"policies as they came. Were those in {ROOT / 'policies'} changed?\n")


def test_policies_that_were_broken_are_named_where_they_stand(shell: Shell, tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    shutil.copytree(ROOT / "policies", sample)
    (sample / "more.yaml").write_text("team: more\nnonsense: 1\n")
    ended = shell.run("demo", "--policies", str(sample))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"gmi-gateway demo: cannot start\n{sample}/more.yaml:2:1: unknown field `nonsense`")


def test_a_port_that_is_asked_for_and_taken_is_said(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = shell.run("demo", "--port", str(other.getsockname()[1]), "--admin-port", "0")
    assert ended.status == 2
    assert ended.err.startswith("gmi-gateway demo: cannot start\ncannot listen")


def test_the_usual_port_is_left_to_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert demo._port(None, taken) == 0
        assert demo._port(taken, 1) == taken
    assert demo._port(None, taken) == taken


def test_an_installed_wheel_finds_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.demo.__file__", str(tmp_path / "lib" / "gateway" / "cli" / "demo.py"))
    monkeypatch.setattr("gateway.cli.demo.sysconfig.get_path", lambda _: str(tmp_path))
    data = tmp_path / "share" / "gmi-gateway" / "policies"
    data.mkdir(parents=True)
    assert demo._sample_policies(None) == data
