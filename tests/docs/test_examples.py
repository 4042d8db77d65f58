"""The policies that the pages show are valid, and what they say the checker prints is what it prints."""

import re
from configparser import RawConfigParser
from pathlib import Path

import pytest

from gateway.core import repeats
from gateway.core.json_schema import policy_schema
from gateway.core.nodes import Report, Table
from gateway.core.parse_team import TEAM_FIELDS
from gateway.ledger import retention
from gateway.policies import load
from gateway.policies.yaml_nodes import compose
from gateway.settings import Settings
from tests.docs.pages import OPERATING, PAGES, POLICIES, Block

EXAMPLES = [block for page in PAGES for block in page.blocks("yaml")]
BAD = re.findall(r"^```yaml\n((?:(?!```).*\n)+)```\n\n```text\n((?:(?!```).*\n)+)```$", POLICIES.text, re.MULTILINE)
"""Bad policies, each with what the checker prints about it right below."""


def completed(text: str, folder: Path) -> Path:
    """A policy set that holds the example, and around it only what an example may leave out: who the team is."""
    root = compose(text, "example.yaml", Report())
    assert isinstance(root, Table)
    fields = {key.text for key, _ in root.entries}
    if "team" in fields or fields & set(TEAM_FIELDS):
        text += "" if "team" in fields else "team: example\n"
        text += "" if "models" in fields else 'models: {allow: ["*"]}\n'
    else:
        (folder / "team.yaml").write_text('team: example\nmodels: {allow: ["*"]}\n')
    (folder / "example.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("block", [block for block in EXAMPLES if block.text not in dict(BAD)], ids=repr)
def test_a_policy_that_is_shown_is_valid_and_without_a_warning(block: Block, tmp_path: Path) -> None:
    assert load(completed(block.text, tmp_path)).problems == ()


@pytest.mark.parametrize(("policy", "printed"), BAD)
def test_a_bad_policy_gets_the_messages_that_are_shown(
    policy: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("example.yaml").write_text(policy)
    assert "".join(f"{problem}\n" for problem in load(Path("example.yaml")).problems) == printed


def test_the_examples_together_show_every_field() -> None:
    shown = "\n".join(block.text for block in POLICIES.blocks("yaml"))
    fields = set(POLICIES.first_cells("| Field | Meaning |")) - {
        "charge_failed",
        "credential",
        "job_timeout",
        "overrides.name",
    }
    names = {path.rpartition(".")[2] for path in fields}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b:", shown)] == []
    assert set(policy_schema()["properties"]) <= fields | {"charge_failed", "credential", "job_timeout"}


def test_the_unit_of_systemd_waits_as_long_as_a_drain_may_take() -> None:
    (block,) = OPERATING.blocks("ini")
    unit = RawConfigParser(strict=False)
    unit.read_string(block.text)
    service = unit["Service"]
    assert service["ExecStart"].startswith("/opt/gmi-gateway/bin/gmi-gateway serve ")
    assert int(service["TimeoutStopSec"]) > Settings().drain_delay + Settings().drain_timeout


def test_what_the_ledger_keeps_is_kept_as_long_as_is_said() -> None:
    kept = "\n".join(OPERATING.table("| What | Is kept |"))
    days = {
        "A job's last record": retention.RECORDS,
        "Counters": retention.COUNTERS,
        "Counts of refused calls": retention.REFUSALS,
        "Webhook deliveries": retention.RECORDS,
    }
    for what, seconds in days.items():
        assert re.search(rf"\| {what}.* {seconds / 86400:.0f} days", kept), what
    assert (retention.DIRECT_COUNTERS, repeats.REPEATS_FOR) == (86400, 86400)
