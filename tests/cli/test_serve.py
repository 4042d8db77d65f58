import os
import re
import signal
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli.demo_calls import Request, send
from gateway.cli.options import SETTINGS
from gateway.settings import variable_of
from tests.command_line import Shell, started
from tests.conftest import team
from tests.served import environment_of, eventually, served


def test_help_names_every_setting_with_its_variable(shell: Shell) -> None:
    shown = shell.run("serve", "--help").out
    named = set(re.findall(r"\b(?:GATEWAY|GMI)_[A-Z_]+\b", shown))
    assert named == {variable_of(name) for name in SETTINGS} | {"GMI_API_KEY", "GMI_API_KEY_FILE", "GMI_ORG_ID"}


def test_without_a_credential_it_does_not_start(shell: Shell) -> None:
    ended = shell.run("serve", "--port", "0", "--admin-port", "0")
    assert (ended.status, ended.out) == (2, "")
    assert "gmi-gateway serve: cannot start\ncredential 'default': no API key: GMI_API_KEY" in ended.err


@pytest.mark.parametrize("text", ["team: films\nlimits: null\n", "", "limits: [\n"])
def test_po1_with_a_bad_file_it_does_not_start_and_names_the_place(shell: Shell, text: str) -> None:
    file = shell.policies / "bad.yaml"
    file.write_text(text)
    ended = shell.run("serve", "--simulate", "--port", "0", "--admin-port", "0")
    assert (ended.status, ended.out) == (2, "")
    assert re.search(rf"^{re.escape(str(file))}:\d+:\d+: ", ended.err, re.MULTILINE)
    assert "listening" not in ended.err


def test_it_serves_until_told_to_end(shell: Shell) -> None:
    command = [sys.executable, "-m", "gateway", "serve", "--simulate", "--port", "0", "--admin-port", "0"]
    environment = {**shell.environment, "GATEWAY_DRAIN_DELAY": "0", "GATEWAY_LOG_FORMAT": "text"}
    with started(command, environment) as gateway:
        assert gateway.stderr is not None
        lines: list[str] = []
        first = gateway.stderr.readline()
        while len(lines) < 2:
            line = gateway.stderr.readline()
            lines += [line] if line.startswith("listening on ") else []
        public, admin = (line.split()[2] for line in lines)
        answers = (
            send(Request("GET", f"{public}/gateway/v1/usage")).status,
            send(Request("GET", f"{admin}/readyz")).status,
        )
        os.kill(gateway.pid, signal.SIGTERM)
        _, rest = gateway.communicate(timeout=20)
    assert lines[0].endswith("(public)\n")
    assert lines[1].endswith("(admin)\n")
    assert answers == (401, 200)
    assert gateway.returncode == 0
    ledger = shell.environment["GATEWAY_LEDGER"].removeprefix("sqlite:///")
    about = f"version={__version__} upstream=the simulator simulate=True workers=1 ledger={ledger}"
    assert first.partition(" ")[2] == f"INFO starting {about}\n"
    assert rest.splitlines()[-1].endswith("INFO stopped status=0")


async def test_sighup_is_answered_in_the_log_although_nothing_changed(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", "key"))
    async with served(environment_of(tmp_path, "http://127.0.0.1:9")) as gateway:

        async def answered() -> bool:
            return any('"policies unchanged"' in line for line in gateway.said)

        assert not await answered()
        gateway.process.send_signal(signal.SIGHUP)
        await eventually(answered)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """What the command itself logs, by event."""
    logged: dict[str, dict[str, object]] = {}
    monkeypatch.setattr("gateway.cli.serve.log_event", lambda _, event, **fields: logged.update({event: fields}))
    return logged


def test_a_team_that_relays_needs_the_gateways_address(shell: Shell) -> None:
    file = shell.policies / "films.yaml"
    file.write_text(f"{file.read_text()}uploads: {{relay: true}}\n")
    ended = shell.run("serve", "--simulate", "--port", "0", "--admin-port", "0")
    assert ended.status == 2
    assert "uploads of team 'films': `relay: true` needs GATEWAY_PUBLIC_URL" in ended.err


def test_a_ledgers_password_is_not_shown(shell: Shell, events: dict[str, dict[str, object]]) -> None:
    shell.environment["GATEWAY_LEDGER"] = "postgresql://gw:canary@db.example/ledger"
    ended = shell.run("serve", "--port", "0", "--admin-port", "0")
    assert events["starting"]["ledger"] == "db.example/ledger"
    assert "canary" not in f"{ended.err}{events}"


@pytest.mark.parametrize("also", [{}, {"GMI_API_KEY": "canary"}])
def test_a_key_file_that_is_passed_over_is_told(
    shell: Shell, events: dict[str, dict[str, object]], also: dict[str, str]
) -> None:
    shell.environment.pop("GMI_API_KEY", None)
    shell.environment |= {"GMI_API_KEY_FILE": "/nowhere", "GATEWAY_POLICIES": "/nowhere"} | also
    shell.run("serve", "--port", "0", "--admin-port", "0")
    assert ("key file passed over" in events) == bool(also)
    assert "canary" not in str(events)


def test_a_ledger_that_names_no_file_is_refused(shell: Shell) -> None:
    ended = shell.run("serve", "--ledger", "sqlite:///:memory:")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("gmi-gateway serve: cannot start\nledger: ")


OF_OTHERS = {
    "rich": "commands that print tables",
    "click": "httpx's own command",
    "gateway.server.workers": "several workers",
    "gateway.simulator.serve": "--simulate",
    "uvicorn": "the simulator",
    "sqlalchemy.dialects.postgresql": "a ledger on PostgreSQL",
    "gateway.web.admin.overview": "the pages for people",
    "jinja2": "the pages for people",
    "gateway.web.openapi_operations": "the OpenAPI document",
}
"""Libraries and modules, and whom a gateway in front of GMI and on SQLite leaves them to."""


async def test_nothing_is_loaded_before_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", "key"))
    environment = environment_of(tmp_path, "http://127.0.0.1:9") | {"PYTHONPROFILEIMPORTTIME": "1"}
    async with served(environment) as gateway:

        def loaded() -> set[str]:
            return {line.rpartition("|")[2].strip() for line in gateway.said} & {"sqlalchemy", *OF_OTHERS}

        async def all_is_loaded() -> bool:
            return {"gateway.web.admin.overview", "jinja2", "gateway.web.openapi_operations"} < loaded()

        assert await gateway.is_ready()
        assert loaded() == {"sqlalchemy"}
        assert (await gateway.ask_admin("/")).status_code == 200
        assert (await gateway.http.get(f"{gateway.public}/gateway/v1/openapi.json")).status_code == 200
        await eventually(all_is_loaded)
