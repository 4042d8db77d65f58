"""Sums over the ledger's past, kept for a moment: many browsers that look on cost the ledger no more than one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from gateway.cache import Cache, Fetched
from gateway.context import Gateway
from gateway.core.freshness import Rules
from gateway.core.policy import Period
from gateway.core.windows import Window, window_at
from gateway.ledger.overview import (
    RefusedCount,
    Spent,
    WebhookHealth,
    last_creates,
    refused_counts,
    spent_by_window,
    webhook_health,
)
from gateway.ledger.values import UsageRow
from gateway.refusals import QUARTER
from gateway.web.admin.months import rows_by_team

DAYS = 30
HOURS = 24
_KEYS_SEEN_WITHIN = 90 * 86400.0

SOON = Rules(fresh=2.0, usable=15.0, on_error=15.0)
"""What changes with every job."""

LATER = Rules(fresh=60.0, usable=600.0, on_error=600.0)
"""What belongs to the past."""

_BYTES = 16 * 1024**2
_ROW_BYTES = 300

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Series:
    """Sums per window and name: `values[window][name]`, the names that matter most first."""

    windows: tuple[Window, ...]
    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]

    @property
    def totals(self) -> tuple[int, ...]:
        """The sum of each name."""
        return tuple(sum(column) for column in zip(*self.values, strict=True))


class Figures:
    """What the pages show of the past. Raises LedgerUnavailable."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._cache = Cache(_BYTES, gw.ticks)

    async def month(self, now: float, team: str | None = None, back: int = 0) -> dict[str, list[UsageRow]]:
        """Usage of this calendar month, or of so many before, by team."""

        async def fetch() -> Fetched[dict[str, list[UsageRow]]]:
            found = await rows_by_team(self._gw, now, team, back)
            return _fetched(found, sum(map(len, found.values())), LATER if back else SOON)

        key = ("month", self._gw.policies.version, now // QUARTER, team, back)  # months begin at whole quarters
        return (await self._cache.get(key, fetch)).value

    async def spent_by_day(self, now: float, zone: str, team: str | None = None) -> Series:
        """Money by model and day of this time zone, over the last `DAYS` days."""
        days = _last(Period.DAY, zone, now, DAYS)
        edges = [*(day.starts for day in days), days[-1].ends]
        question = partial(self._gw.ledger.survey, spent_by_window, team, edges)

        async def fetch() -> Fetched[list[Spent]]:
            found = await question()
            return _fetched(found, len(found), SOON)

        spent = (await self._cache.get(("days", team, edges[-1], zone), fetch)).value
        return _series(days, [(each.window, each.model, each.amount) for each in spent])

    async def refused_by_hour(self, now: float, team: str | None = None) -> Series:
        """Refused calls by error code and hour, over the last `HOURS` hours, the running one included."""
        hours = _last(Period.HOUR, "UTC", now, HOURS)
        counts = await self._refused(hours[0].starts, team)
        first = hours[0].starts
        return _series(hours, [(int((each.starts - first) // 3600), each.code, each.count) for each in counts])

    async def refused_by_team(self, now: float) -> dict[str, int]:
        """Refused calls of each team in the last `HOURS` hours."""
        totals: dict[str, int] = {}
        for each in await self._refused(_last(Period.HOUR, "UTC", now, HOURS)[0].starts, None):
            totals[each.team] = totals.get(each.team, 0) + each.count
        return totals

    async def webhooks(self, now: float) -> WebhookHealth:
        """How webhooks fare, and how many were given up in the last `HOURS` hours."""

        async def fetch() -> Fetched[WebhookHealth]:
            return _fetched(await self._gw.ledger.survey(webhook_health, now - HOURS * 3600), 1, SOON)

        return (await self._cache.get(("webhooks",), fetch)).value

    async def key_uses(self, team: str, now: float) -> dict[str, float]:
        """When each key of a team was last seen.

        That is its last call since the gateway started, as every worker on this machine knows it, or the last job it
        created within `_KEYS_SEEN_WITHIN`, whichever is later.
        """
        gw = self._gw

        async def fetch() -> Fetched[dict[str, float]]:
            found = await gw.ledger.survey(last_creates, team, now - _KEYS_SEEN_WITHIN)
            return _fetched(found, len(found), SOON)

        seen = dict((await self._cache.get(("keys", team), fetch)).value)
        others = await gw.siblings.ask("key uses")
        for (whose, key), instant in gw.key_uses.latest(list(others.values())).items():
            if whose == team:
                seen[key] = max(instant, seen.get(key, instant))
        return seen

    async def _refused(self, starts: float, team: str | None) -> list[RefusedCount]:
        async def fetch() -> Fetched[list[RefusedCount]]:
            found = await self._gw.ledger.survey(refused_counts, team, starts - starts % QUARTER)
            return _fetched(found, len(found), SOON)

        return (await self._cache.get(("refused", team, starts), fetch)).value


def _fetched(value: T, rows: int, rules: Rules) -> Fetched[T]:
    return Fetched(value, _ROW_BYTES * rows, rules)


def _last(period: Period, zone: str, now: float, count: int) -> tuple[Window, ...]:
    """The windows that led up to now, oldest first."""
    windows = [window_at(period, zone, now)]
    while len(windows) < count:
        windows.append(window_at(period, zone, windows[-1].starts - 1))
    return tuple(reversed(windows))


def _series(windows: tuple[Window, ...], found: Sequence[tuple[int, str, int]], most: int = 6) -> Series:
    """Sums as columns; from the one after `most` names on, they go together as `other`."""
    totals: dict[str, int] = {}
    for _, name, value in found:
        totals[name] = totals.get(name, 0) + value
    ranked = sorted((name for name, total in totals.items() if total), key=lambda name: (-totals[name], name))
    names = ranked if len(ranked) <= most else [*ranked[: most - 1], "other"]
    values = [[0] * len(names) for _ in windows]
    for window, name, value in found:
        if value and 0 <= window < len(windows):
            values[window][names.index(name if name in names else "other")] += value
    return Series(windows, tuple(names), tuple(map(tuple, values)))
