import pytest

from tests.core.worlds import at
from tests.policy_texts import DIGEST, TEAM, problems

KNOWN = frozenset(("Veo3", "Veo3-Fast", "Kling-V2"))


def warned(limits: str, more: str = "") -> list[str]:
    """The names of the limits that can never bind."""
    found = problems(f"{TEAM}limits: {limits}\n{more}")
    assert all(problem.endswith("[never-binds]") for problem in found)
    return [problem.split("`")[1] for problem in found]


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ("[10 jobs per day, 100 jobs per hour]", ["jobs-hour"]),
        ("[10 jobs per day, 9 jobs per hour]", []),
        ("[10 jobs per hour, 249 jobs per day]", []),
        ("[10 jobs per hour, 250 jobs per day]", ["jobs-day"]),
        ("[1 jobs per second, 59 jobs per minute]", []),
        ("[1 jobs per second, 90000 jobs per day]", ["jobs-day"]),
        ("[10 jobs per day, 70 jobs per week]", ["jobs-week"]),
        ("[10 jobs per day, 309 jobs per month]", []),
        ("[10 jobs per day, 310 jobs per month]", ["jobs-month"]),
        ("[10 jobs per week, 59 jobs per month]", []),
        ("[10 jobs per week, 60 jobs per month]", ["jobs-month"]),
        ("[10 jobs per month, 19 jobs per week]", []),
        ("[10 jobs per month, 20 jobs per week]", ["jobs-week"]),
        ("[10 jobs per month, 10 jobs per hour]", ["jobs-hour"]),
        ("[10 jobs per day, 5 jobs at once]", []),
        ("[1 jobs per day, 99 jobs at once]", []),
        ("[10 jobs per day, 100 seconds per day]", []),
        ("[10 jobs per day, {limit: 10 jobs per day, per: key}]", ["jobs-day-per-key"]),
        ("[{limit: 1 jobs per day, per: key}, 10 jobs per day]", []),
        ("[{limit: 1 jobs per day, models: [Veo3]}, 10 jobs per day]", []),
        ("[{limit: 10 jobs per day, models: [Veo3]}, 9 jobs per day]", ["jobs-day-Veo3"]),
        ("[{limit: 5 jobs per day, mode: shadow}, {limit: 9 jobs per day, name: x}]", []),
        ("[9 jobs per day, {limit: 10 jobs per day, mode: shadow, name: x}]", ["x"]),
        ("[9 jobs per day, {limit: 8 jobs per day, mode: shadow, name: x}]", []),
        ("[9 jobs per day, {limit: 9 jobs per day, name: x}]", ["x"]),
        ("[0 jobs per day, 5 jobs per hour]", ["jobs-hour"]),
    ],
)
def test_a_limit_that_another_always_stops_first_is_warned_of(limits: str, names: list[str]) -> None:
    assert warned(limits) == names


def test_overrides_count_at_their_most_and_least() -> None:
    raised = "overrides: [{limit: 200 jobs per day, until: 2027-01-01, reason: x}]\n"
    lowered = "overrides: [{limit: 5 jobs per hour, until: 2027-01-01, reason: x}]\n"
    assert warned("[10 jobs per day, 100 jobs per hour]", raised) == []
    assert warned("[10 jobs per day, 100 jobs per hour]", lowered) == []


def test_a_default_that_one_team_makes_idle_is_no_warning() -> None:
    gateway = (
        "defaults: {limits: [600 requests per minute, {limit: 5 jobs per day, models: [Kling]}, 9 uploads per day]}\n"
    )
    assert problems(f"{TEAM}limits: [100 requests per hour]\nuploads: {{file_types: []}}\n", gateway) == []
    assert len(problems(f"{TEAM}limits: [36000 requests per hour]\n", gateway)) == 1


def test_a_limit_for_models_the_team_may_not_use_is_warned_of() -> None:
    text = "models: {allow: [Veo3, 'Kling-*'], deny: [Kling-V1]}\nlimits: [{limit: 1 USD per day, models: [%s]}]\n"
    for pattern in ("Veo3", "'Veo?'", "'Kling-V*'", "'*'"):
        assert problems("team: a\n" + text % pattern) == [], pattern
    for pattern in ("Veo", "Seed", "Kling-V1"):
        assert problems("team: a\n" + text % pattern) == [
            f"a.yaml:3:42: warning: `{pattern}` can never bind: no model this team may use matches it [never-binds]"
        ]


def test_patterns_are_checked_against_the_catalogue_where_it_is_known() -> None:
    text = "team: a\nmodels: {allow: ['Veo3*', Vevo3], deny: [Kling-V1]}\n"
    assert problems(text) == []
    assert problems(text, known_models=KNOWN) == [
        "a.yaml:2:27: warning: `Vevo3` matches no model upstream has; did you mean `Veo3`? [matches-nothing]",
        "a.yaml:2:42: warning: `Kling-V1` matches no model upstream has; did you mean `Kling-V2`? [matches-nothing]",
    ]


def test_with_a_catalogue_a_limit_must_reach_a_model_that_is_allowed() -> None:
    text = "team: a\nmodels: {allow: ['*'], deny: ['Kling-*']}\nlimits: [{limit: 1 USD per day, models: ['%s']}]\n"
    assert problems(text % "Veo*", known_models=KNOWN) == []
    assert len(problems(text % "Kling-V2", known_models=KNOWN)) == 1
    assert len(problems(text % "Seed*", known_models=KNOWN)) == 1


def test_one_key_opens_one_team() -> None:
    first = f"{TEAM}keys: [{{name: web, hash: sha256:{DIGEST}}}]\n"
    second = f"team: b\nmodels: {{allow: [Veo3]}}\nkeys: [{{name: app, hash: sha256:{DIGEST}}}]\n"
    assert problems(first, second) == [
        "b.yaml:3:26: the key `app` has the same hash as the key at a.yaml:3:26: a key opens one team"
    ]


def test_an_override_that_is_over_is_warned_of_where_the_time_is_known() -> None:
    text = f"{TEAM}limits: [5 jobs per day]\noverrides:\n  - {{limit: 9 jobs per day, until: 2026-11-23, reason: x}}\n"
    over = "a.yaml:5:5: warning: this override has ended: remove it, or give it a later `until` [override-over]"
    ends = at("2026-11-23T00:00:00")
    assert problems(text) == []
    assert problems(text, now=ends - 1) == []
    assert problems(text, now=ends) == [over]


def test_a_file_that_cannot_be_read_hides_nothing_that_shows_in_the_others() -> None:
    keys = f"keys: [{{name: web, hash: 'sha256:{DIGEST}'}}]\n"
    unread = "credentials: {x: [\n"
    found = problems(f"{TEAM}{keys}credential: studio\n", f"team: b\nmodels: {{allow: [Veo3]}}\n{keys}", unread)
    assert found[:2] == [
        "a.yaml:4:13: no credential is called `studio` in the files that could be read",
        "b.yaml:3:26: the key `web` has the same hash as the key at a.yaml:3:26: a key opens one team",
    ]


def test_teams_without_a_name_are_not_called_the_same() -> None:
    found = problems("team: 'a b'\ncredential: x\n", "team: 'a b'\n")
    assert [problem.partition(": ")[2].split(":")[0] for problem in found] == [
        "`a b` is not a name",
        "no credential is called `x`",
        "`a b` is not a name",
    ]
