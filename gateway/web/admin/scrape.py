"""`/metrics`: what was counted, and what is looked up in the ledger and the policies when Prometheus asks."""

import asyncio
import math
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from gateway.context import Gateway
from gateway.core.policy import Team
from gateway.ledger.ledger import LedgerUnavailable
from gateway.web.admin.limits import TeamLimit, limits_of_teams
from gateway.web.respond import amount_of

LOOK_UP_EVERY = 1.0
"""Seconds for which looked-up gauges are good: many scrapers cost the ledger no more than one."""

_PATIENCE = 2.0


class Scrape:
    """The endpoint. One scrape is rendered at a time, in a thread, so that the loop goes on serving."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._turn = asyncio.Lock()
        self._looked_up_at = -math.inf

    async def answer(self, request: Request) -> Response:
        """Text format 0.0.4, or OpenMetrics where `Accept` asks for it. Always 200: without ledger, as last known."""
        metrics = self._gw.metrics
        async with self._turn:
            if self._gw.ticks() - self._looked_up_at >= LOOK_UP_EVERY:
                await look_up(self._gw)
                self._looked_up_at = self._gw.ticks()
            body, media_type = await asyncio.to_thread(metrics.render, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})


async def look_up(gw: Gateway) -> None:
    """Bring the gauges up to date that nobody counts. While the ledger is away its own keep their last values."""
    _show_policies(gw)
    teams = gw.policies.current.teams
    try:
        async with asyncio.timeout(_PATIENCE):
            limits = await limits_of_teams(gw, teams.values())
            counts = await gw.ledger.open_counts()
    except (LedgerUnavailable, TimeoutError):
        gw.metrics.ledger_up.set(0)
        return
    gw.metrics.ledger_up.set(1 if gw.ledger.healthy else 0)
    _show_limits(gw, limits)
    gw.metrics.jobs_active.show(counts.active)
    gw.metrics.reservations_open.show({(state.value,): number for state, number in counts.reservations.items()})
    gw.metrics.reservation_age.set(max(0.0, gw.now() - counts.oldest) if counts.oldest is not None else 0)
    gw.metrics.keep_teams({*teams, *(team for team, _ in counts.active)})


def _show_policies(gw: Gateway) -> None:
    metrics, policies = gw.metrics, gw.policies
    metrics.reload_ok.set(1 if policies.last_reload_ok else 0)
    metrics.reload_time.set(policies.last_reload_at)
    metrics.policy_info.show({(policies.version,): 1})
    metrics.key_expiry.show(_expiries(policies.current.teams))


def _expiries(teams: Mapping[str, Team]) -> dict[tuple[str, ...], float]:
    return {
        (team.name, key.name): key.expires for team in teams.values() for key in team.keys if key.expires is not None
    }


def _show_limits(gw: Gateway, limits: Mapping[str, list[TeamLimit]]) -> None:
    """A limit that each key has of its own shows the key that used most: alerts ask how full it can be."""
    amounts: dict[tuple[str, ...], float] = {}
    used: dict[tuple[str, ...], float] = {}
    for team, rows in limits.items():
        for row in rows:
            limit = row.state.limit
            labels = (team, limit.name)
            amounts[labels] = amount_of(row.state.ceiling, limit.unit)
            used[labels] = max(used.get(labels, 0), amount_of(row.state.used, limit.unit))
    gw.metrics.quota_limit.show(amounts)
    gw.metrics.quota_used.show(used)
