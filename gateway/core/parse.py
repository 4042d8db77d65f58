"""Policy files to policies: strict, whole, and with every problem named at once.

Each file is read on its own first, then the set is looked at together. A set with an error gives no policies at all.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from gateway.core.keys import PREFIX
from gateway.core.nodes import Mark, Node, Problem, Report, scalars
from gateway.core.parse_checks import Surroundings, check_pairs, check_teams
from gateway.core.parse_fields import Fields, read_fields
from gateway.core.parse_prices import read_prices
from gateway.core.parse_queueing import read_queueing
from gateway.core.parse_sources import IMPLICIT, PlacedCredential, read_credentials
from gateway.core.parse_team import DEFAULT_FIELDS, PLAIN_KEY, TEAM_FIELDS, PlacedTeam, read_team
from gateway.core.policy import PolicySet, Unpriced

GATEWAY_FIELDS = ("defaults", "credentials", "prices", "unpriced", "queueing")
"""The sections of the set as a whole; any file may hold them."""

_PLAIN_KEY = re.compile(rf"{PREFIX}[0-9A-Za-z]{{20}}")

FILE_FIELDS = (*TEAM_FIELDS, *GATEWAY_FIELDS)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The policies, or None where any problem is an error."""

    policy: PolicySet | None
    problems: tuple[Problem, ...]


def parse(
    roots: Sequence[Node],
    version: str = "",
    known_models: AbstractSet[str] | None = None,
    found: Sequence[Problem] = (),
    now: float | None = None,
) -> Parsed:
    """The policies of a set of files, each given as its root node.

    `version` names the generation. `known_models` is the catalogue, where it is known: patterns that match none of
    it are warned of. `found` are problems of files that could not be read: they refuse the set, and what they may
    define is not simply called missing. `now`, where it is given, tells which overrides are over.
    """
    report = Report(list(found))
    unread = report.has_errors
    _check_plain_keys(roots, report)
    files = [fields for root in roots if (fields := read_fields(root, FILE_FIELDS, "a policy file", report))]
    sections = _collect_sections(files, report)
    credentials = _collect_credentials(files, report)
    defaults = _read_defaults(sections["defaults"].nodes["defaults"], report) if "defaults" in sections else None
    teams = _read_teams(files, defaults, report)
    prices = read_prices(sections["prices"].items("prices"), report) if "prices" in sections else ()
    unpriced = Unpriced.REFUSE
    if "unpriced" in sections:
        unpriced = sections["unpriced"].choice("unpriced", Unpriced, Unpriced.REFUSE)
    if not teams and not report.has_errors:
        report.error(roots[0].mark if roots else Mark("."), "no file defines a team: give one `team: NAME`")
    surroundings = Surroundings(credentials.keys(), known_models, now, all_read=not unread)
    check_teams(teams, surroundings, report)
    policy = PolicySet(
        teams={placed.team.name: placed.team for placed in teams},
        credentials={name: placed.credential for name, placed in credentials.items()},
        prices=prices,
        unpriced=unpriced,
        queueing=read_queueing(sections["queueing"].items("queueing"), report) if "queueing" in sections else (),
        version=version,
    )
    return Parsed(None if report.has_errors else policy, report.in_order())


def _check_plain_keys(roots: Sequence[Node], report: Report) -> None:
    """A team key itself is an error wherever it stands."""
    for root in roots:
        for scalar in scalars(root):
            if _PLAIN_KEY.search(scalar.text):
                report.error(scalar.mark, PLAIN_KEY)


def _collect_sections(files: Sequence[Fields], report: Report) -> Mapping[str, Fields]:
    """The file that holds each section; a section in two files is reported."""
    sections: dict[str, Fields] = {}
    for fields in files:
        for name in ("defaults", "prices", "unpriced", "queueing"):
            if not fields.has(name):
                continue
            first = sections.setdefault(name, fields)
            if first is not fields:
                report.error(fields.place(name), f"`{name}` is already defined at {first.place(name)}")
    return sections


def _collect_credentials(files: Sequence[Fields], report: Report) -> Mapping[str, PlacedCredential]:
    """The credentials of all files, with the implicit `default` where none defines it."""
    credentials: dict[str, PlacedCredential] = {}
    for fields in files:
        if not fields.has("credentials"):
            continue
        for name, placed in read_credentials(fields.nodes["credentials"], report).items():
            first = credentials.setdefault(name, placed)
            if first is not placed:
                report.error(placed.mark, f"the credential `{name}` is already defined at {first.mark}")
    credentials.setdefault(IMPLICIT.name, PlacedCredential(IMPLICIT, Mark("")))
    return credentials


def _read_defaults(node: Node, report: Report) -> Fields | None:
    """The fields every team inherits. What is wrong in them shows even where no team takes them."""
    defaults = read_fields(node, DEFAULT_FIELDS, "`defaults`", report)
    if defaults is not None:
        check_pairs(read_team(defaults, None).limits, report)
    return defaults


def _read_teams(files: Sequence[Fields], defaults: Fields | None, report: Report) -> Sequence[PlacedTeam]:
    """The teams; one whose name is missing or no name is read all the same, for what else is wrong with it."""
    teams = []
    for fields in files:
        parts = [name for name in fields.nodes if name in TEAM_FIELDS]
        if parts and not fields.has("team"):
            problem = f"`{parts[0]}` belongs to a team or to `defaults`: add `team: NAME`"
            report.error(fields.place(parts[0]), problem)
        if parts:
            teams.append(read_team(fields, defaults))
    return teams
