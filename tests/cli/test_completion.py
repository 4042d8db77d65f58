import shutil
import subprocess

import pytest

from gateway.cli.completion import SHELLS, whole_parser
from gateway.cli.parser import COMMANDS
from tests.command_line import Shell


@pytest.mark.parametrize("name", SHELLS)
def test_every_command_is_in_the_script(shell: Shell, name: str) -> None:
    outcome = shell.run("completion", name)
    assert (outcome.status, outcome.err) == (0, "")
    for word in (*COMMANDS, "--overlap", "rotate", "export"):
        assert word.removeprefix("--") in outcome.out


def test_bash_completes_commands_and_options(shell: Shell) -> None:
    script = shell.run("completion", "bash").out
    ask = 'COMP_WORDS=(%s); COMP_CWORD=%d; _shtab_gmi_gateway; echo "${COMPREPLY[@]}"'
    asked = "\n".join([script, ask % ("gmi-gateway do", 1), ask % ("gmi-gateway keys rotate --o", 3)])
    bash = shutil.which("bash")
    assert bash is not None
    answered = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)
    assert answered.stdout.split("\n") == ["doctor", "--overlap", ""]


def test_a_shell_nobody_knows_is_refused(shell: Shell) -> None:
    assert shell.run("completion", "tcsh").status == 2


def test_what_is_completed_is_what_is_understood() -> None:
    whole = whole_parser()
    assert whole.parse_args(["usage", "--month", "2026-11"]).month.label == "2026-11"
