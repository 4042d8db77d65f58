"""No field of a team can change unseen."""

import dataclasses
from typing import Any

import pytest

from gateway.cli.changes import changes_between
from gateway.core.addresses import Target
from gateway.core.policy import (
    Credential,
    Key,
    Limit,
    ParameterRule,
    PayloadRule,
    Period,
    PolicySet,
    Queueing,
    Source,
    Team,
    Unit,
    Uploads,
    Webhooks,
)
from tests.core.worlds import NOON

OTHERS: dict[str, Any] = {
    "timezone": "Asia/Tokyo",
    "credential": "studio",
    "keys": (Key("web", "1" * 64),),
    "allow": ("Veo3",),
    "deny": ("Veo3",),
    "limits": (Limit("jobs-day", 1, Unit.JOBS, Period.DAY),),
    "payload": (PayloadRule(("*",), (ParameterRule("prompt", required=True),)),),
    "uploads": Uploads(file_types=()),
    "duplicates_window": 3.0,
    "charge_failed": True,
    "job_timeout": 60.0,
    "webhooks": Webhooks(("a.example",), Source("env", "A")),
    "notify": Target("a.example", "/limits"),
}


@pytest.mark.parametrize("name", sorted({field.name for field in dataclasses.fields(Team)} - {"name", "description"}))
def test_every_field_that_has_an_effect_is_compared(name: str) -> None:
    team = Team("a")
    other = dataclasses.replace(team, **{name: OTHERS.get(name, object())})
    before, after = PolicySet({"a": team}, {}), PolicySet({"a": other}, {})
    (change,) = changes_between(before, after, None, NOON)
    assert change.team == "a"
    assert change.text
    assert changes_between(after, after, None, NOON) == []


def test_an_address_for_warnings_whose_query_changes_is_told_of_without_it() -> None:
    def policy(token: str) -> PolicySet:
        return PolicySet({"a": Team("a", notify=Target("a.example", f"/limits?token={token}"))}, {})

    (change,) = changes_between(policy("t0ken-1"), policy("t0ken-2"), None, NOON)
    assert (change.subject, "t0ken" in str(change)) == ("notify", False)


def test_a_field_nobody_taught_to_speak_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.changes._COMPARISONS", {})
    (change,) = changes_between(
        PolicySet({"a": Team("a")}, {}), PolicySet({"a": Team("a", timezone="Asia/Tokyo")}, {}), None, NOON
    )
    assert (change.subject, change.text) == ("timezone", "the section, with another value")


def test_an_organisation_that_changes_in_the_file_is_told_and_not_shown() -> None:
    def policy(organization: str) -> PolicySet:
        return PolicySet({}, {"a": Credential("a", (Source("env", "A"),), Source("text", organization))})

    (change,) = changes_between(policy("org-1"), policy("org-2"), None, NOON)
    assert change.text == "key from env:A, organisation from the policies, with another value"


def test_how_creates_wait_is_told_in_words() -> None:
    team = Team("a")
    before = PolicySet({"a": team}, {})
    after = PolicySet({"a": team}, {}, queueing=(Queueing(("Veo3", "Kling-*"), fair=True), Queueing(("Sora",))))
    (change,) = changes_between(before, after, None, NOON)
    assert (change.team, change.subject) == ("", "queueing")
    assert change.text == "Veo3, Kling-* fair; Sora not fair; was none"
