import os
import signal
import socket
import sys

import pytest

from gateway.cli.demo_calls import Request, send
from tests.command_line import Shell, started


def test_it_serves_until_told_to_end() -> None:
    command = [sys.executable, "-m", "gateway", "simulate", "--port", "0", "--speed", "30"]
    command += ["--fault", "list_models:503:1:1"]
    with started(command) as simulator:
        assert simulator.stderr is not None
        url = simulator.stderr.readline().split()[-1]
        hint = simulator.stderr.readline().split()
        key = hint[0].removeprefix("GMI_API_KEY=")
        listing = Request("GET", f"{url}/api/v1/ie/requestqueue/apikey/models", key)
        answers = [send(listing).status for _ in range(2)]
        os.kill(simulator.pid, signal.SIGTERM)
        out, err = simulator.communicate(timeout=10)
    assert answers == [503, 200]
    assert hint[1:] == ["gmi-gateway", "serve", "--upstream", url]
    assert (simulator.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("options", "other_key"), [((), 200), (("--key", "mine", "--key", "ours"), 401)])
def test_it_takes_every_key_unless_told_which(options: tuple[str, ...], other_key: int) -> None:
    with started([sys.executable, "-m", "gateway", "simulate", "--port", "0", *options]) as simulator:
        assert simulator.stderr is not None
        url = simulator.stderr.readline().split()[-1]
        models = f"{url}/api/v1/ie/requestqueue/apikey/models"
        answers = [send(Request("GET", models, key)).status for key in ("ours", "another")]
        os.kill(simulator.pid, signal.SIGTERM)
        simulator.communicate(timeout=10)
    assert answers == [200, other_key]


def test_a_port_that_is_taken_is_said(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = shell.run("simulate", "--port", str(port))
    assert ended.status == 2
    assert ended.err.startswith(f"gmi-gateway simulate: cannot listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--speed", "0", "must be greater than 0"),
        ("--speed", "inf", "must be greater than 0"),
        ("--port", "-1", "must be a port"),
        ("--fault", "create_request:gone", "fault 'create_request:gone': "),
    ],
)
def test_a_bad_option_says_why(shell: Shell, option: str, value: str, why: str) -> None:
    ended = shell.run("simulate", f"{option}={value}")
    assert ended.status == 2
    assert f"argument {option}: {why}" in ended.err
