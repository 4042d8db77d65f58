import contextlib
import io
import subprocess
import sys

import pytest

from gateway import __version__
from gateway.cli.parser import COMMANDS
from tests.command_line import Shell

HEAVY = ("httpx", "sqlalchemy", "starlette", "uvicorn")


def test_help_lists_every_command_with_what_it_does(shell: Shell) -> None:
    shown = shell.run("--help")
    assert shown.status == 0
    width = max(map(len, COMMANDS))
    for name, summary in COMMANDS.items():
        assert f"  {name:{width}}  {summary}\n" in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(shell: Shell, name: str) -> None:
    shown = shell.run(name, "--help")
    assert shown.status == 0
    assert shown.out.startswith(f"usage: gmi-gateway {name} ")


def test_version(shell: Shell) -> None:
    assert shell.run("--version").out == f"gmi-gateway {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("frobnicate",), ("check", "--frobnicate"), ("keys",), ("explain",)])
def test_wrong_usage_is_status_2_and_goes_to_stderr(shell: Shell, arguments: tuple[str, ...]) -> None:
    outcome = shell.run(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("usage: gmi-gateway")


@pytest.mark.parametrize("action", [("ledger", "verify"), ("ledger", "export"), ("keys", "list")])
def test_an_option_that_an_action_does_not_have_shows_what_it_has(shell: Shell, action: tuple[str, str]) -> None:
    outcome = shell.run(*action, "--frobnicate")
    assert (outcome.status, outcome.out) == (2, "")
    called = f"gmi-gateway {' '.join(action)}"
    assert outcome.err.startswith(f"usage: {called} [-h] ")
    assert outcome.err.endswith(f"{called}: error: unrecognized arguments: --frobnicate\n")


@pytest.mark.parametrize(
    ("word", "advice"), [("srve", "; did you mean `serve`?"), ("Keys", "; did you mean `keys`?"), ("frobnicate", "")]
)
def test_a_command_that_is_none_is_told_which_may_be_meant(shell: Shell, word: str, advice: str) -> None:
    outcome = shell.run(word, "--port", "0")
    assert (outcome.status, outcome.out) == (2, "")
    said = f"gmi-gateway: error: there is no command `{word}`{advice}\n`gmi-gateway --help` lists all commands.\n"
    assert outcome.err.endswith(said)


def test_a_bad_setting_is_status_2_and_says_which(shell: Shell) -> None:
    shell.environment["GATEWAY_PROT"] = "1"
    outcome = shell.run("check")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == "gmi-gateway check: GATEWAY_PROT: no such setting; did you mean GATEWAY_PORT?\n"


def test_an_interrupted_command_ends_as_shells_expect(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.check.run", interrupt)
    assert shell.run("check").status == 130


def test_output_may_go_anywhere_that_takes_text(shell: Shell) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert shell.run("check").status == 0
    assert out.getvalue().endswith("0 warnings\n")


@pytest.mark.parametrize("arguments", [["check", "policies"], ["schema"], ["keys", "list", "--format", "json"]])
def test_commands_about_files_load_no_server_client_or_database(arguments: list[str]) -> None:
    program = (
        "import sys; from gateway.cli.parser import run_command; "
        f"run_command({arguments!r}, {{}}, 0.0); print(sorted({set(HEAVY)!r} & sys.modules.keys()), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr == "[]\n"
