import json
import re
import threading
from pathlib import Path

import pytest

from gateway.cli.doctor import run_probes
from gateway.cli.findings import Verdict, ok
from tests.command_line import Outcome, Shell
from tests.conftest import REAL_KEY, REAL_ORG, House


@pytest.fixture
def doctor(shell: Shell) -> Shell:
    """A shell with the real credential."""
    shell.environment |= {"GMI_API_KEY": REAL_KEY, "GMI_ORG_ID": REAL_ORG}
    return shell


def checks(outcome: Outcome) -> dict[str, str]:
    """By check, its sign and text."""
    *lines, _ = outcome.out.splitlines()
    found = [re.fullmatch(r"(\S) (\S+(?: \S+)?)  +(.*)", line) for line in lines]
    return {match[2]: f"{match[1]} {match[3]}" for match in found if match}


async def test_all_is_well_beside_a_gateway_that_runs(doctor: Shell, house: House) -> None:
    outcome = await doctor.run_beside("doctor")
    assert outcome.status == 0, outcome.out
    found = checks(outcome)
    assert {name: text[0] for name, text in found.items()} == {
        **dict.fromkeys(("policies", "keys", "dns", "ledger", "counters", "durability"), "✓"),
        **dict.fromkeys(("upstream key", "open jobs", "disk", "proxies"), "✓"),
        **dict.fromkeys(("tls", "clock"), "-"),
    }
    whose = "credential 'default', key from env:GMI_API_KEY, organisation from env:GMI_ORG_ID"
    assert re.search(rf"✓ {whose}: accepted, models listed: \d+$", found["upstream key"])
    assert "journal_mode=wal, synchronous=FULL" in found["durability"]
    assert REAL_KEY not in outcome.out + outcome.err
    assert REAL_ORG not in outcome.out + outcome.err


async def test_whatever_fails_says_what_to_do_and_nothing_else_is_left_out(
    doctor: Shell, tmp_path: Path, upstream: str
) -> None:
    doctor.environment |= {"GMI_API_KEY": "canary-wrong-key", "GATEWAY_UPSTREAM_URL": upstream}
    doctor.environment["HTTPS_PROXY"] = "http://user:canary-password@proxy.example"
    (tmp_path / "gateway.db").write_bytes(b"a text, not a database" * 100)
    outcome = await doctor.run_beside("doctor", "--format", "json")
    spoken = json.loads(outcome.out)
    assert (outcome.status, spoken["ok"]) == (1, False)
    verdicts = {each["check"]: each["verdict"] for each in spoken["checks"]}
    assert (verdicts["upstream key"], verdicts["ledger"], verdicts["proxies"]) == ("fail", "fail", "warn")
    assert verdicts["open jobs"] == "skip"
    assert all(each["remedy"] for each in spoken["checks"] if each["verdict"] in ("fail", "warn"))
    assert "canary" not in outcome.out + outcome.err


def test_policies_that_cannot_be_used_fail_and_the_rest_is_looked_at(doctor: Shell) -> None:
    (doctor.policies / "films.yaml").write_text("team: films\nnonsense: 1\n")
    doctor.environment["GATEWAY_UPSTREAM_URL"] = "http://127.0.0.1:1"
    outcome = doctor.run("doctor")
    found = checks(outcome)
    assert outcome.status == 1
    assert found["policies"].startswith("✗ ")
    assert f"→ run `gmi-gateway check {doctor.policies}`" in found["policies"]
    assert found["connection"].startswith("✗ 127.0.0.1:1 does not answer: Connection refused → ")
    assert found["ledger"].startswith("! there is none at ")


def test_in_front_of_the_simulator_upstream_is_left_alone(doctor: Shell) -> None:
    outcome = doctor.run("doctor", "--simulate")
    assert outcome.status == 0
    assert checks(outcome)["upstream"] == "- the simulator stands in for it"


def test_nobody_waits_for_a_probe_that_hangs() -> None:
    ever = threading.Event()

    def hang() -> list[object]:
        ever.wait()
        return []

    (quick, late) = run_probes({"quick": lambda: [ok("a", "b")], "slow": hang}, 0.2)  # type: ignore[dict-item]
    ever.set()
    assert (quick.check, late.check, late.verdict) == ("a", "slow", Verdict.FAIL)
    assert late.text == "no answer within 0.2 s"
