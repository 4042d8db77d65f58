"""What only shows when all the files are seen together: dangling names, keys used twice, limits that never bind."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from gateway.core.access import matches, may_use
from gateway.core.nodes import Mark, Report, show, suggest
from gateway.core.overlap import overlap
from gateway.core.parse_limits import PlacedLimit
from gateway.core.parse_team import PlacedTeam
from gateway.core.policy import Limit, Mode, Period, Team, Unit

_ORDER = (Period.SECOND, Period.MINUTE, Period.HOUR, Period.DAY, Period.WEEK)
"""Each window lies inside one of the next kind. Months hold whole days and cut weeks."""

_MOST_INSIDE: Mapping[Period, int] = {Period.SECOND: 60, Period.MINUTE: 60, Period.HOUR: 25, Period.DAY: 7}
"""How many windows of a kind one of the next kind holds at most: a day in autumn has 25 hours."""

_DAYS_IN_MONTH = 31
_WEEKS_TOUCHED_BY_MONTH = 6
_MONTHS_TOUCHED_BY_WEEK = 2


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What teams are held against: the names of the credentials, the catalogue and the time, where these are known.

    `all_read` is False where a file could not be read, which may define what seems to be missing.
    """

    credentials: AbstractSet[str]
    known_models: AbstractSet[str] | None = None
    now: float | None = None
    all_read: bool = True


def check_teams(teams: Sequence[PlacedTeam], surroundings: Surroundings, report: Report) -> None:
    """Report what is wrong or hardly meant between the teams and everything else."""
    _check_names(teams, report)
    _check_digests(teams, report)
    for placed in teams:
        _check_credential(placed, surroundings, report)
        _check_models(placed, surroundings.known_models, report)
        check_pairs(placed.limits, report)
        _check_reach(placed, surroundings.known_models, report)
        _check_overrides(placed, surroundings.now, report)


def _check_credential(placed: PlacedTeam, surroundings: Surroundings, report: Report) -> None:
    name, known = placed.team.credential, surroundings.credentials
    if name in known:
        return
    where = "" if surroundings.all_read else " in the files that could be read"
    report.error(placed.credential_mark, f"no credential is called {show(name)}{where}{suggest(name, known)}")


def _check_overrides(placed: PlacedTeam, now: float | None, report: Report) -> None:
    for each in placed.overrides:
        if now is not None and each.override.until <= now:
            report.warn(each.mark, "override-over", "this override has ended: remove it, or give it a later `until`")


def _check_names(teams: Iterable[PlacedTeam], report: Report) -> None:
    first: dict[str, Mark] = {}
    for placed in teams:
        mark = first.setdefault(placed.team.name, placed.mark) if placed.team.name else placed.mark
        if mark is not placed.mark:
            report.error(placed.mark, f"the team `{placed.team.name}` is already defined at {mark}")


def _check_digests(teams: Iterable[PlacedTeam], report: Report) -> None:
    first: dict[str, Mark] = {}
    for placed in teams:
        for key, here in placed.keys:
            mark = first.setdefault(key.digest, here)
            if mark is not here:
                report.error(here, f"the key `{key.name}` has the same hash as the key at {mark}: a key opens one team")


def _check_models(placed: PlacedTeam, known_models: AbstractSet[str] | None, report: Report) -> None:
    """A pattern that matches nothing is hardly meant."""
    team = placed.team
    if not team.allow and not report.has_errors:
        report.warn(
            placed.mark,
            "allows-nothing",
            f"the team `{team.name}` may use no model: give it `models: {{allow: […]}}`",
        )
    for item in placed.patterns:
        if known_models is not None and not any(matches((item.text,), model) for model in known_models):
            near = suggest(item.text, known_models)
            report.warn(item.mark, "matches-nothing", f"{show(item.text)} matches no model upstream has{near}")
    for item in placed.patterns[: len(team.allow)]:
        if item.text in team.deny:
            report.warn(item.mark, "never-allowed", f"{show(item.text)} is allowed here and denied below: deny wins")


def check_pairs(limits: Sequence[PlacedLimit], report: Report) -> None:
    """Warn of each limit (not of inherited ones: other teams may need them) that another always stops first."""
    for index, placed in enumerate(limits):
        if placed.inherited:
            continue
        for other_index, other in enumerate(limits):
            if other is placed or not _never_binds(placed.limit, other.limit):
                continue
            if other_index > index and _never_binds(other.limit, placed.limit):
                continue  # they are equal: the second one is the one too many
            problem = f"the limit `{placed.limit.name}` can never bind: `{other.limit.name}` is always used up first"
            report.warn(placed.mark, "never-binds", problem)
            break


def _never_binds(limit: Limit, other: Limit) -> bool:
    """Whether `other` surely refuses everything that `limit` would."""
    if limit.unit is not other.unit or other.mode is Mode.SHADOW or (other.per_key and not limit.per_key):
        return False
    if other.models and not (limit.models and set(limit.models) <= set(other.models)):
        return False
    windows = _most_windows(other.period, limit.period)
    least = min([limit.amount, *(override.amount for override in limit.overrides)])
    most = max([other.amount, *(override.amount for override in other.overrides)])
    return windows is not None and least >= most * windows


def _most_windows(period: Period, within: Period) -> int | None:
    """How many windows of `period` one window of `within` touches at most; None where a level meets a window."""
    if period is within:
        return 1
    if Period.AT_ONCE in (period, within):
        return None
    if within is Period.MONTH:
        return _WEEKS_TOUCHED_BY_MONTH if period is Period.WEEK else _DAYS_IN_MONTH * _inside(period, Period.DAY)
    if period is Period.MONTH:
        return _MONTHS_TOUCHED_BY_WEEK if within is Period.WEEK else 1
    return _inside(period, within)


def _inside(period: Period, within: Period) -> int:
    most = 1
    for step in _ORDER[_ORDER.index(period) : _ORDER.index(within)]:
        most *= _MOST_INSIDE[step]
    return most


def _check_reach(placed: PlacedTeam, known_models: AbstractSet[str] | None, report: Report) -> None:
    """Warn of the team's own limits on what it cannot do anyway."""
    for each in placed.limits:
        if each.inherited:
            continue
        if each.limit.unit is Unit.UPLOADS and not placed.team.uploads.file_types:
            problem = f"the limit `{each.limit.name}` can never bind: the team may upload no file type"
            report.warn(each.mark, "never-binds", problem)
        for pattern, mark in each.model_marks.items():
            if placed.team.allow and not _may_match(pattern, placed.team, known_models):
                problem = f"{show(pattern)} can never bind: no model this team may use matches it"
                report.warn(mark, "never-binds", problem)


def _may_match(pattern: str, team: Team, known_models: AbstractSet[str] | None) -> bool:
    """Whether a model that `pattern` matches may be allowed; of patterns alone, in doubt yes."""
    if known_models is None:
        return pattern not in team.deny and any(overlap(pattern, allowed) for allowed in team.allow)
    return any(matches((pattern,), model) and may_use(team, model)[0] for model in known_models)
