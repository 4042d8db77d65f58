from pathlib import Path

import pytest

from gateway.ledger.values import Durability
from tests.cli.test_doctor import checks
from tests.command_line import Shell
from tests.conftest import House
from tests.ledger.samples import run_sql
from tests.postgres import Server, postgres

__all__ = ["postgres"]


def test_a_server_tells_its_settings_and_its_clock(shell: Shell, postgres: Server) -> None:
    shell.run("ledger", "migrate", "--ledger", postgres.empty_database())
    found = checks(shell.run("doctor", "--simulate", "--ledger", postgres.ledger()))
    assert {name: found[name][0] for name in ("ledger", "counters", "durability", "clock")} == dict.fromkeys(
        ("ledger", "counters", "clock"), "✓"
    ) | {"durability": found["durability"][0]}
    assert "fsync=" in found["durability"]
    assert found["disk"] == "- the ledger is on a server, which has to watch its own"


async def test_a_wrong_counter_is_found_in_the_sample(shell: Shell, house: House) -> None:
    assert checks(await shell.run_beside("doctor", "--simulate"))["counters"].startswith("✓ ")
    run_sql(shell.environment["GATEWAY_LEDGER"], "UPDATE counters SET value = value + 1 WHERE name LIKE 'USD/%'")
    outcome = await shell.run_beside("doctor", "--simulate")
    assert outcome.status == 1
    assert checks(outcome)["counters"].startswith("✗ 1 of a sample are wrong → run `gmi-gateway")


async def test_what_a_power_cut_would_lose_fails(shell: Shell, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gateway.ledger.reader.LedgerReader.durability", lambda _: Durability("fsync=off", "a crash may lose it")
    )
    outcome = await shell.run_beside("doctor", "--simulate")
    assert outcome.status == 1
    assert checks(outcome)["durability"].startswith("✗ fsync=off: a crash may lose it → ")


def test_a_damaged_file_fails_with_the_reason(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"a text, not a database" * 100)
    outcome = shell.run("doctor", "--simulate")
    assert outcome.status == 1
    reason = (
        "gateway.db cannot be read: file is not a database: restore a backup, see `Restore` in docs/operating.md → "
    )
    assert reason in checks(outcome)["ledger"]
