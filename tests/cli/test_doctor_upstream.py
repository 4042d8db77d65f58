from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_doctor import checks, doctor
from tests.command_line import FILMS, Shell
from tests.conftest import REAL_KEY, House, OpenHouse, Q, team

__all__ = ["doctor"]

WHOSE = "credential 'default', key from env:GMI_API_KEY, organisation from env:GMI_ORG_ID"
TWO_KEYS = "credentials: {default: {api_key: [env:OLD, env:GMI_API_KEY]}}\n"


async def test_a_refused_key_beside_an_accepted_one_is_a_warning(doctor: Shell, upstream: str) -> None:
    doctor.environment |= {"OLD": "canary-old-key", "GATEWAY_UPSTREAM_URL": upstream}
    (doctor.policies / "films.yaml").write_text(FILMS + TWO_KEYS)
    outcome = await doctor.run_beside("doctor")
    lines = [line.partition("default', ")[2] for line in outcome.out.splitlines() if "upstream key" in line]
    signs = [line[0] for line in outcome.out.splitlines() if "upstream key" in line]
    assert outcome.status == 0
    assert signs == ["!", "✓"]
    assert lines[0].startswith("key from env:OLD, no organisation: Upstream refuses")
    assert lines[1].startswith("key from env:GMI_API_KEY, no organisation: accepted")
    assert "canary" not in outcome.out + outcome.err


async def test_a_missing_key_says_which(doctor: Shell, upstream: str) -> None:
    doctor.environment["GATEWAY_UPSTREAM_URL"] = upstream
    del doctor.environment["GMI_API_KEY"]
    outcome = await doctor.run_beside("doctor")
    assert outcome.status == 1
    said = "✗ credential 'default': no API key: GMI_API_KEY or GMI_API_KEY_FILE is not set → set it"
    assert checks(outcome)["upstream key"].startswith(said)


async def test_the_file_a_key_stands_in_is_named(doctor: Shell, tmp_path: Path, upstream: str) -> None:
    (tmp_path / "real-key").write_text("canary-wrong-key\n")
    doctor.environment |= {"GATEWAY_UPSTREAM_URL": upstream, "GMI_API_KEY_FILE": str(tmp_path / "real-key")}
    del doctor.environment["GMI_API_KEY"]
    outcome = await doctor.run_beside("doctor")
    whose = f"✗ credential 'default', key from file:{tmp_path}/real-key, organisation from env:GMI_ORG_ID: "
    assert checks(outcome)["upstream key"].startswith(whose)
    assert "canary" not in outcome.out + outcome.err


@pytest.fixture
async def slow(doctor: Shell, open_house: OpenHouse) -> House:
    """A gateway whose one job goes on for minutes, beside a job that somebody made around it."""
    house: House = await open_house({"a.yaml": team("a", "key")}, speed=1)
    (doctor.policies / "films.yaml").unlink()
    doctor.environment["GATEWAY_UPSTREAM_URL"] = house.upstream.url
    assert (await house.client("key").create()).status_code == 200
    body: Any = {"model": "Veo3", "payload": {"prompt": "canary-prompt"}}
    headers = {"Authorization": f"Bearer {REAL_KEY}"}
    made = await house.http.post(f"{house.upstream.url}{Q}/requests", json=body, headers=headers)
    assert made.status_code == 200
    return house


async def test_le4_open_upstream_jobs_unknown_to_the_ledger_are_counted(doctor: Shell, slow: House) -> None:
    outcome = await doctor.run_beside("doctor")
    assert outcome.status == 0
    assert checks(outcome)["open jobs"].startswith("! 1 of 2 under way are unknown to the ledger → ")
    assert "canary" not in outcome.out


async def test_without_a_ledger_every_job_under_way_is_unknown(doctor: Shell, slow: House) -> None:
    outcome = await doctor.run_beside("doctor", "--ledger", "sqlite:///nowhere.db")
    assert checks(outcome)["open jobs"].startswith("! 2 of 2 under way are unknown to the ledger → ")


@pytest.mark.parametrize(
    ("fault", "check", "said"),
    [
        (
            "list_requests:500",
            "open jobs",
            "- upstream's list cannot be read: Upstream's answer is no list of requests",
        ),
        (
            "list_models:503",
            "upstream key",
            f"✗ {WHOSE}: upstream answers 503 → this is no word about the key: upstream itself fails",
        ),
        (
            "list_models:reset-before",
            "upstream key",
            f"✗ {WHOSE}: Upstream broke off the connection before it answered; try again → this is no word",
        ),
    ],
)
async def test_what_upstream_fails_to_tell(doctor: Shell, slow: House, fault: str, check: str, said: str) -> None:
    slow.break_upstream(fault)
    assert checks(await doctor.run_beside("doctor"))[check].startswith(said)


async def test_nothing_is_said_of_keys_and_jobs_where_upstream_does_not_answer(doctor: Shell) -> None:
    doctor.environment["GATEWAY_UPSTREAM_URL"] = "http://127.0.0.1:1"
    outcome = await doctor.run_beside("doctor")
    assert outcome.status == 1
    found = checks(outcome)
    assert found["connection"].startswith("✗ ")
    assert found["upstream key"] == f"- {WHOSE}: upstream does not answer"
    assert found["open jobs"] == "- upstream does not answer"


async def test_a_wrong_organisation_is_named_beside_the_key(doctor: Shell, upstream: str) -> None:
    doctor.environment |= {"GATEWAY_UPSTREAM_URL": upstream, "GMI_ORG_ID": "another-organization"}
    found = checks(await doctor.run_beside("doctor"))
    assert found["upstream key"].startswith(
        f"✗ {WHOSE}: Upstream refuses the gateway's own key or its organisation (403); your platform team has to "
        "replace it → put a valid key, and the organisation it is of, where the policies read them"
    )
    assert found["open jobs"] == "- upstream accepted no key to ask with"


async def test_a_ledger_that_cannot_be_read_leaves_the_jobs_unjudged(doctor: Shell, slow: House) -> None:
    broken = doctor.policies.parent / "broken.db"
    broken.write_bytes(b"a text, not a database" * 100)
    outcome = await doctor.run_beside("doctor", "--ledger", f"sqlite:///{broken}")
    assert checks(outcome)["open jobs"] == "- the ledger cannot be read"
