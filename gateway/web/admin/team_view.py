"""What the page of one team shows."""

from dataclasses import dataclass

from gateway.context import Gateway
from gateway.core.policy import Key, Team
from gateway.core.rotation import successor_of
from gateway.ledger.overview import ShownJob, Wanted, shown_jobs
from gateway.ledger.values import UsageRow
from gateway.telemetry import Denial
from gateway.web.admin.figures import Figures, Series
from gateway.web.admin.limits import limits_of_teams
from gateway.web.admin.overview import Gauge, Money, day_plot, gauges, hour_plot, money_of
from gateway.web.admin.plots import Plot

_LIVE = 25
_LATELY = 10
_DENIALS = 25


@dataclass(frozen=True, slots=True)
class SeenKey:
    """A key, when it was last seen, and which key replaces it; None where that is not known, or none does."""

    key: Key
    last_seen: float | None
    successor: Key | None


@dataclass(frozen=True, slots=True)
class ModelLine:
    """What one model came to this month: jobs by how they ended, and micro-USD spent."""

    model: str
    jobs: int
    succeeded: int
    unsuccessful: int
    open: int
    spent: int


@dataclass(frozen=True, slots=True)
class TeamView:
    """One team's page. `live` are the newest of `live_total` jobs that have not ended."""

    now: float
    team: Team
    limits: tuple[Gauge, ...]
    money: Money
    models: tuple[ModelLine, ...]
    spending: Series
    spending_plot: Plot
    refusals: Series
    refusals_plot: Plot
    keys: tuple[SeenKey, ...]
    live: tuple[ShownJob, ...]
    live_total: int
    ended: tuple[ShownJob, ...]
    denials: tuple[Denial, ...]


async def team_view(gw: Gateway, figures: Figures, team: Team) -> TeamView:
    """Everything about the team at this instant. Raises LedgerUnavailable."""
    now, name = gw.now(), team.name
    limits = await limits_of_teams(gw, [team])
    this, last = await figures.month(now, name), await figures.month(now, name, back=1)
    spending = await figures.spent_by_day(now, team.timezone, name)
    refusals = await figures.refused_by_hour(now, name)
    seen = await figures.key_uses(name, now)
    live, live_total = await gw.ledger.survey(shown_jobs, Wanted(team=name, ended=False, limit=_LIVE))
    ended, _ = await gw.ledger.survey(shown_jobs, Wanted(team=name, ended=True, limit=_LATELY))
    siblings = await gw.siblings.ask("denials")
    return TeamView(
        now=now,
        team=team,
        limits=tuple(gauges(limits[name], team, now)),
        money=money_of(this.get(name, []), last.get(name, []), team.timezone, now),
        models=models_of(this.get(name, [])),
        spending=spending,
        spending_plot=day_plot(spending, team.timezone),
        refusals=refusals,
        refusals_plot=hour_plot(refusals),
        keys=tuple(SeenKey(key, seen.get(key.name), successor_of(team, key, now)) for key in team.keys),
        live=tuple(live),
        live_total=live_total,
        ended=tuple(ended),
        denials=tuple(gw.denials.latest(_DENIALS, name, others=siblings.values())),
    )


def models_of(rows: list[UsageRow]) -> tuple[ModelLine, ...]:
    """This month by model, the dearest first. Models of which calls were only refused are left out."""
    lines: dict[str, ModelLine] = {}
    for row in rows:
        if not row.jobs:
            continue
        known = lines.get(row.model, ModelLine(row.model, 0, 0, 0, 0, 0))
        lines[row.model] = ModelLine(
            row.model,
            known.jobs + row.jobs,
            known.succeeded + row.succeeded,
            known.unsuccessful + row.failed,
            known.open + row.open,
            known.spent + row.spent,
        )
    return tuple(sorted(lines.values(), key=lambda line: (-line.spent, line.model)))
