"""Policies from the text of files, for tests: named a.yaml, b.yaml, …"""

from collections.abc import Set as AbstractSet
from string import ascii_lowercase

from gateway.core.nodes import Report
from gateway.core.parse import Parsed, parse
from gateway.core.policy import Limit, PolicySet, Team
from gateway.policies.yaml_nodes import compose

DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32
TEAM = "team: a\nmodels: {allow: [Veo3]}\n"


def parsed(*texts: str, known_models: AbstractSet[str] | None = None, now: float | None = None) -> Parsed:
    """What the files say, with their problems."""
    report = Report()
    named = zip(ascii_lowercase, texts, strict=False)
    roots = [root for letter, text in named if (root := compose(text, f"{letter}.yaml", report)) is not None]
    return parse(roots, "v1", known_models, report.problems, now)


def problems(*texts: str, known_models: AbstractSet[str] | None = None, now: float | None = None) -> list[str]:
    """The problems, as a person reads them."""
    return [str(problem) for problem in parsed(*texts, known_models=known_models, now=now).problems]


def policy(*texts: str) -> PolicySet:
    """The policies of files that have no problem at all, but perhaps fields that are for a later version."""
    result = parsed(*texts)
    assert {problem.name for problem in result.problems} <= {"not-in-effect"}
    assert result.policy is not None
    return result.policy


def team(*texts: str) -> Team:
    """The team `a`, which the first file may go on describing."""
    first, *rest = texts
    return policy(TEAM + first, *rest).teams["a"]


def limits(text: str, *rest: str) -> dict[str, Limit]:
    """The limits of team `a`, by name; `text` is the list in brackets."""
    return {limit.name: limit for limit in team(f"limits: {text}\n", *rest).limits}
