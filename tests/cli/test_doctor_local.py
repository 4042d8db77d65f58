from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.cli.doctor_local import ENOUGH_DISK, LEAST_DISK, check_disk, check_proxies
from gateway.cli.findings import Verdict
from tests.cli.test_doctor import checks
from tests.command_line import Shell


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(LEAST_DISK - 1, Verdict.FAIL), (LEAST_DISK, Verdict.WARN), (ENOUGH_DISK, Verdict.OK)],
)
def test_a_disk_that_fills_up(free: int, verdict: Verdict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(free))
    (finding,) = check_disk(f"sqlite:///{tmp_path}/gateway.db")
    assert (finding.verdict, bool(finding.remedy)) == (verdict, verdict is not Verdict.OK)


def test_a_folder_that_is_away_and_a_ledger_that_is_elsewhere(tmp_path: Path) -> None:
    (away,) = check_disk(f"sqlite:///{tmp_path}/away/gateway.db")
    assert (away.verdict, away.text) == (Verdict.FAIL, f"{tmp_path}/away: No such file or directory")
    (server,) = check_disk("postgresql://u:canary@h/db")
    assert server.verdict is Verdict.SKIP
    assert "canary" not in server.text
    assert check_disk("nonsense") == []


def test_proxy_variables_are_named_without_their_values() -> None:
    (finding,) = check_proxies({"HTTP_PROXY": "http://canary", "all_proxy": "x", "https_proxy": "", "NO_PROXY": "y"})
    assert finding.text == "HTTP_PROXY, all_proxy are set and ignored: the gateway connects directly"
    assert check_proxies({})[0].verdict is Verdict.OK


def test_keys_that_end_are_named_the_soonest_first(shell: Shell) -> None:
    for number, expires in enumerate(("13d", "1h", "15d", "2d", "3d", "4d", "5d")):
        shell.run("keys", "new", "films", "--name", f"k{number}", "--expires", expires)
    shell.now += 7200
    file = shell.policies / "films.yaml"
    file.write_text(f"{file.read_text()}uploads: {{max_size: 1 MiB}}\n")
    found = checks(shell.run("doctor", "--simulate"))
    assert found["keys"].startswith(
        "! films/k1 expired 2026-11-23T13:00:00Z, films/k3 expires 2026-11-25T12:00:00Z, films/k4 expires"
    )
    assert " and 1 more → give successors to who still uses the old keys; `keys rotate`" in found["keys"]
    assert "warnings: 1 → run `gmi-gateway check" in found["policies"]


def test_a_rotated_key_is_named_with_its_successor(shell: Shell) -> None:
    shell.run("keys", "rotate", "films", "--name", "web", "--overlap", "2d")
    found = checks(shell.run("doctor", "--simulate"))["keys"]
    assert found.startswith("! films/web expires 2026-11-25T12:00:00Z (replaced by web-2) → give successors to ")
