"""The sample set: what the demo runs and a platform team copies."""

import json
from pathlib import Path

import pytest

from gateway.core.json_schema import policy_schema
from gateway.core.policy import PolicySet, Unit
from gateway.policies import load
from gateway.policies.edit import add_key

SAMPLES = Path(__file__).parents[2] / "policies"


@pytest.fixture(scope="module")
def samples() -> PolicySet:
    loaded = load(SAMPLES)
    assert loaded.problems == ()
    assert loaded.policy is not None
    return loaded.policy


def test_the_samples_have_no_problem_and_no_key(samples: PolicySet) -> None:
    assert set(samples.teams) == {"marketing", "research", "studio"}
    assert samples.callers == {}


def test_they_need_no_credential_but_the_default(samples: PolicySet) -> None:
    assert set(samples.credentials) == {"default"}


def test_research_meets_every_kind_of_refusal(samples: PolicySet) -> None:
    research = samples.teams["research"]
    limits = {limit.name: limit for limit in research.limits}
    film = next(price for price in samples.prices if "Veo3" in price.models)
    assert film.amount * 8 > limits["pocket-money"].amount > 0
    assert (limits["images"].amount, limits["images"].unit) == (2, Unit.JOBS)
    assert "Veo3-Ultra" not in research.allow


@pytest.mark.parametrize("team", ["marketing", "research", "studio"])
def test_a_key_can_be_added_to_each(team: str, tmp_path: Path) -> None:
    text = (SAMPLES / "teams" / f"{team}.yaml").read_text()
    (tmp_path / "team.yaml").write_text(add_key(text, "demo", "a" * 64))
    loaded = load(tmp_path)
    assert loaded.policy is not None
    assert loaded.policy.callers["a" * 64].team.name == team


def test_the_schema_beside_them_is_the_current_one() -> None:
    assert json.loads((SAMPLES / "policy.schema.json").read_text()) == policy_schema()


def test_every_sample_names_the_schema_for_editors() -> None:
    for path in SAMPLES.rglob("*.yaml"):
        first = path.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        assert (path.parent / first.split("=")[1]).resolve() == SAMPLES / "policy.schema.json"
