from gateway.core.nodes import Problem
from gateway.core.parse import parse
from tests.policy_texts import TEAM, parsed, policy, problems


def test_any_file_may_hold_any_section() -> None:
    first = policy(f"{TEAM}unpriced: free\n", "team: b\nmodels: {allow: ['*']}\nprices: []\n", "defaults: {}\n")
    assert set(first.teams) == {"a", "b"}
    assert first.version == "v1"


def test_po6_a_set_that_does_not_fit_together_gives_no_policies() -> None:
    new_team, old_gateway = f"{TEAM}credential: studio\n", "credentials: {other: {api_key: env:KEY}}\n"
    assert parsed(new_team, old_gateway).policy is None
    assert parsed(new_team, "credentials: {studio: {api_key: env:KEY}}\n").policy is not None


def test_a_set_without_files_gives_no_policies() -> None:
    result = parse([])
    assert result.policy is None
    assert [problem.message for problem in result.problems] == ["no file defines a team: give one `team: NAME`"]


def test_a_file_that_could_not_be_read_refuses_the_set_without_guesses() -> None:
    found = (Problem("b.yaml", 1, 1, "cannot be read"),)
    result = parse([], found=found)
    assert result.policy is None
    assert result.problems == found


def test_every_problem_of_every_file_is_named_at_once() -> None:
    found = problems("team: a\nmodls: {}\nlimits: [x, y]\n", "team: a b\nmodels: {allow: 5}\n", "prices: 5\n")
    assert [problem.split(": ")[0] for problem in found] == [
        "a.yaml:2:1",
        "a.yaml:3:10",
        "a.yaml:3:13",
        "b.yaml:1:7",
        "b.yaml:2:17",
        "c.yaml:1:9",
    ]


def test_warnings_do_not_refuse_the_set() -> None:
    result = parsed("team: a\n")
    assert len(result.problems) == 1
    assert result.policy is not None
    assert list(result.policy.teams) == ["a"]
