"""What the dashboard shows, put together: everything a page needs, and nothing of how it looks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.context import Gateway
from gateway.core.lifecycle import State
from gateway.core.limits import LimitState
from gateway.core.pace import at_this_pace, full_at
from gateway.core.policy import Mode, Period, Team, Unit
from gateway.core.rotation import successor_of
from gateway.core.windows import window_at
from gateway.core.wording import amount_words, instant_words
from gateway.ledger.overview import WebhookHealth
from gateway.ledger.values import UsageRow
from gateway.telemetry import Denial
from gateway.web.admin.figures import Figures, Series
from gateway.web.admin.limits import TeamLimit, limits_of_teams
from gateway.web.admin.plots import Plot, stack
from gateway.web.admin.upstream_health import UpstreamHealth, upstream_health

_FULLEST = 2
_LATEST_DENIALS = 8
_SOON_EXPIRED = 14 * 86400.0
_LATE = 900.0
"""Seconds that a webhook may be due for before somebody should look, as the alert has it."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One limit and how full it is: `share` in percent, at most 100. `full_at` is when at this pace, if it will be."""

    state: LimitState
    key: str | None
    share: float
    full_at: float | None

    @property
    def level(self) -> str:
        """How it is drawn: `full`, `high` from 80 percent on, else `calm`. What only reports is never alarming."""
        if self.state.limit.mode is Mode.SHADOW:
            return "shadow"
        return "full" if self.share >= 100 else "high" if self.share >= 80 else "calm"


@dataclass(frozen=True, slots=True)
class Money:
    """Micro-USD of this month, of the one before, and where this one will end at its pace, if that can be told."""

    this: int
    last: int
    expected: int | None


@dataclass(frozen=True, slots=True)
class TeamLine:
    """One team on the dashboard; `refused` are the calls of the last day."""

    team: Team
    fullest: tuple[Gauge, ...]
    money: Money
    live: int
    refused: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole dashboard."""

    now: float
    notices: tuple[str, ...]
    teams: tuple[TeamLine, ...]
    money: Money
    live: int
    spending: Series
    spending_plot: Plot
    refusals: Series
    refusals_plot: Plot
    denials: tuple[Denial, ...]
    health: UpstreamHealth
    webhooks: WebhookHealth


async def overview(gw: Gateway, figures: Figures) -> Overview:
    """Everything at this instant. Raises LedgerUnavailable."""
    now, teams = gw.now(), gw.policies.current.teams
    limits = await limits_of_teams(gw, teams.values())
    counts = await gw.ledger.open_counts()
    this, last = await figures.month(now), await figures.month(now, back=1)
    refused = await figures.refused_by_team(now)
    live = live_by_team(counts.active)
    health, webhooks = await upstream_health(gw), await figures.webhooks(now)
    lines = tuple(
        TeamLine(
            team=teams[name],
            fullest=tuple(gauges(limits[name], teams[name], now)[:_FULLEST]),
            money=money_of(this.get(name, []), last.get(name, []), teams[name].timezone, now),
            live=live.get(name, 0),
            refused=refused.get(name, 0),
        )
        for name in sorted(teams)
    )
    gone = [name for name in {*this, *last} if name not in teams]
    others = [money_of(this.get(name, []), last.get(name, []), "UTC", now) for name in gone]
    spending, refusals = await figures.spent_by_day(now, "UTC"), await figures.refused_by_hour(now)
    siblings = await gw.siblings.ask("denials")
    return Overview(
        now=now,
        notices=(*_notices(gw, counts.reservations, health, now), *_webhook_notices(webhooks, now)),
        teams=lines,
        money=add_up([line.money for line in lines] + others),
        live=sum(live.values()),
        spending=spending,
        spending_plot=day_plot(spending, "UTC"),
        refusals=refusals,
        refusals_plot=hour_plot(refusals),
        denials=tuple(gw.denials.latest(_LATEST_DENIALS, others=siblings.values())),
        health=health,
        webhooks=webhooks,
    )


def gauges(limits: Iterable[TeamLimit], team: Team, now: float) -> list[Gauge]:
    """These limits, the fullest first; those that refuse nobody after all that do."""
    found = [Gauge(each.state, each.key, _share(each.state), _full_at(each.state, team, now)) for each in limits]
    return sorted(found, key=lambda gauge: (gauge.level == "shadow", -gauge.share, gauge.state.limit.name))


def _share(state: LimitState) -> float:
    if state.ceiling <= 0:
        return 100.0
    return min(100.0, 100 * state.used / state.ceiling)


def _full_at(state: LimitState, team: Team, now: float) -> float | None:
    """When a budget of the month will be used up; shorter windows end before that is worth saying."""
    if state.limit.unit is not Unit.USD or state.limit.period is not Period.MONTH:
        return None
    return full_at(state.used, state.ceiling, window_at(Period.MONTH, team.timezone, now), now)


def money_of(this: Sequence[UsageRow], last: Sequence[UsageRow], zone: str, now: float) -> Money:
    """A team's money of two months, and where this one will end."""
    spent = sum(row.spent for row in this)
    return Money(spent, sum(row.spent for row in last), at_this_pace(spent, window_at(Period.MONTH, zone, now), now))


def add_up(all_money: Sequence[Money]) -> Money:
    """The money of several teams; their months need not begin at one instant."""
    expected = [money.expected for money in all_money]
    return Money(
        sum(money.this for money in all_money),
        sum(money.last for money in all_money),
        None if None in expected else sum(each for each in expected if each is not None),
    )


def live_by_team(active: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """How many jobs of each team have not ended."""
    live: dict[str, int] = {}
    for (team, _), count in active.items():
        live[team] = live.get(team, 0) + count
    return live


def day_plot(series: Series, zone: str) -> Plot:
    """Dollars a day."""
    labels = [
        f"{instant_words(day.starts, zone)[:10]}: {amount_words(sum(values), Unit.USD)}"
        for day, values in zip(series.windows, series.values, strict=True)
    ]
    return stack([[value / 1_000_000 for value in values] for values in series.values], labels)


def hour_plot(series: Series) -> Plot:
    """Refused calls an hour."""
    labels = [
        f"{datetime.fromtimestamp(hour.starts, UTC):%H:%M} UTC: {sum(values)} refused"
        for hour, values in zip(series.windows, series.values, strict=True)
    ]
    return stack(series.values, labels)


def _notices(gw: Gateway, reservations: Mapping[State, int], health: UpstreamHealth, now: float) -> Iterable[str]:
    """What somebody should look at, a sentence each."""
    if gw.draining.is_set():
        yield "This gateway is shutting down."
    if not gw.ledger.healthy:
        yield "The ledger cannot be written: creates are refused."
    if not gw.policies.last_reload_ok:
        yield "The policy files have problems, so the last good policies stay in force."
    for credential in health.refused:
        yield (
            f"Upstream takes no key of the credential {credential}, so creates fail and ends of jobs are not seen: "
            "put a valid key into its file, or into its variable and restart. If the log says 403, look at its "
            "organisation (GMI_ORG_ID) as well."
        )
    if health.circuit != "closed":
        yield "Upstream failed ten times in a row, so calls to it are spared until a probe succeeds."
    if unknown := reservations.get(State.UNKNOWN, 0):
        lost = "The answer of one create was" if unknown == 1 else f"The answers of {unknown} creates were"
        yield f"{lost} lost; the money stays reserved until the job is found or shown to be absent."
    for team in gw.policies.current.teams.values():
        for key in team.keys:
            if key.expires is not None and now < key.expires < now + _SOON_EXPIRED:
                when = instant_words(key.expires, team.timezone)
                successor = successor_of(team, key, now)
                replaced = f"; {successor.name} replaces it" if successor is not None else ""
                yield f"The key {key.name} of {team.name} expires on {when}{replaced}."


def _webhook_notices(webhooks: WebhookHealth, now: float) -> Iterable[str]:
    if webhooks.oldest is not None and now - webhooks.oldest > _LATE:
        many = "1 webhook is" if webhooks.due == 1 else f"{webhooks.due:,} webhooks are"
        trouble = webhooks.trouble
        why = f": {trouble.team}'s to {trouble.host}, {trouble.problem}" if trouble is not None else ""
        yield f"{many} still to be delivered, the first of them since {instant_words(webhooks.oldest, 'UTC')}{why}."
