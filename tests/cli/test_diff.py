import json
from pathlib import Path

import pytest

from tests.cli.golden_files import Golden, goldens, shown
from tests.command_line import FILMS, Shell
from tests.conftest import House
from tests.ledger.samples import run_sql


@pytest.fixture
def sets(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files `old.yaml` and `new.yaml`, where the command runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        (tmp_path / f"{name}.yaml").write_text(FILMS)
    return tmp_path


@pytest.mark.parametrize("golden", goldens("diff"), ids=repr)
def test_what_changes_in_effect(shell: Shell, sets: Path, golden: Golden) -> None:
    old, new = golden.parts
    (sets / "old.yaml").write_text(old)
    (sets / "new.yaml").write_text(new)
    assert shown(shell.run("diff", "old.yaml", "new.yaml")) == golden.expected


def test_as_json(shell: Shell, sets: Path) -> None:
    (sets / "new.yaml").write_text(FILMS.replace("10 jobs per day", "9 jobs per day"))
    outcome = shell.run("diff", "old.yaml", "new.yaml", "--format", "json")
    change = {
        "team": "films",
        "subject": "limit.jobs-day",
        "change": "lowered",
        "before": "10 jobs per day",
        "after": "9 jobs per day",
    }
    assert (outcome.status, json.loads(outcome.out)) == (1, {"by_listing": False, "changes": [change]})


async def test_models_are_compared_by_the_listing_a_gateway_kept(shell: Shell, house: House, sets: Path) -> None:
    await house.client("ads-key").get("/api/v1/ie/requestqueue/apikey/models")
    wider = FILMS.replace('["Veo3*"], deny: [Veo3-Ultra]', '["seedream-*", Veo3]')
    (sets / "new.yaml").write_text(wider)

    async def is_kept() -> bool:
        return "Veo3-Fast" in (await shell.run_beside("diff", "old.yaml", "new.yaml")).out

    await house.eventually(is_kept)
    lines = (await shell.run_beside("diff", "old.yaml", "new.yaml")).out.splitlines()
    assert lines[0] == "films"
    assert "  + model         seedream-5.0-lite is allowed by `seedream-*`." in lines
    assert "  - model         Team films is not allowed Veo3-Fast; GET …/models lists what it may use." in lines
    assert "  - models.deny   `Veo3-Ultra`" in lines


async def test_of_many_models_the_first_are_named(
    shell: Shell, house: House, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.client("ads-key").get("/api/v1/ie/requestqueue/apikey/models")
    (sets / "old.yaml").write_text(FILMS.replace('["Veo3*"], deny: [Veo3-Ultra]', "[Veo3]"))
    (sets / "new.yaml").write_text(FILMS.replace('["Veo3*"], deny: [Veo3-Ultra]', '["*"]'))
    monkeypatch.setattr("gateway.cli.diff._MOST_MODELS", 2)

    async def is_kept() -> bool:
        return "+ model" in (await shell.run_beside("diff", "old.yaml", "new.yaml")).out

    await house.eventually(is_kept)
    lines = (await shell.run_beside("diff", "old.yaml", "new.yaml")).out.splitlines()
    named = [line for line in lines if line.startswith("  + model ")]
    spoken = json.loads((await shell.run_beside("diff", "old.yaml", "new.yaml", "--format", "json")).out)
    gained = [change for change in spoken["changes"] if change["subject"] == "model"]
    assert spoken["by_listing"] is True
    assert named[2:] == [f"  + model         … and {len(gained) - 2} more"]
    assert lines[-1] == f"{len(gained) + 2} changes in effect"


async def test_a_kept_answer_that_is_no_listing_counts_as_none(shell: Shell, house: House, sets: Path) -> None:
    name = f"models {shell.environment['GATEWAY_UPSTREAM_URL']} default"
    saved = "INSERT INTO snapshots VALUES ('%s', x'90', x'7b7d', 0) ON CONFLICT DO UPDATE SET body = x'7b7d'"
    run_sql(shell.environment["GATEWAY_LEDGER"], saved % name)
    assert (await shell.run_beside("diff", "old.yaml", "new.yaml")).out.startswith(
        f"No listing of {shell.environment['GATEWAY_UPSTREAM_URL']} is kept in a ledger"
    )


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_set_that_cannot_be_used_is_status_2(shell: Shell, sets: Path, which: str) -> None:
    (sets / f"{which}.yaml").write_text("team: films\nnonsense: 1\n")
    outcome = shell.run("diff", "old.yaml", "new.yaml")
    assert (outcome.status, outcome.out) == (2, "")
    said = f"gmi-gateway diff: {which}.yaml cannot be used; see `gmi-gateway check {which}.yaml`\n"
    assert outcome.err.startswith(said)


def test_a_ledger_that_cannot_be_read_is_status_2(shell: Shell, sets: Path) -> None:
    (sets / "gateway.db").write_bytes(b"a text, not a database" * 100)
    outcome = shell.run("diff", "old.yaml", "new.yaml")
    assert (outcome.status, outcome.out) == (2, "")
    assert "gateway.db cannot be read" in outcome.err
