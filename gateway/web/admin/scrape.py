"""`/metrics`: what was counted, and what is looked up in the ledger when Prometheus asks."""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from gateway.context import Gateway
from gateway.counting import model_label
from gateway.ledger.ledger import LedgerUnavailable
from gateway.siblings import Answers
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
        self._generation = ""

    async def answer(self, request: Request) -> Response:
        """Text format 0.0.4, or OpenMetrics where `Accept` asks for it. Always 200: without ledger, as last known."""
        metrics, siblings = self._gw.metrics, self._gw.siblings
        async with self._turn:
            await self._look_up()
            show_health(self._gw)
            present = await siblings.ask("metrics")
            if siblings.may_be:
                await dump_metrics(self._gw)  # what was told once must be known even if this worker is gone by then
            gone = await asyncio.to_thread(siblings.left, present)
            accept = request.headers.get("accept", "")
            body, media_type = await asyncio.to_thread(metrics.render, accept, list(present.values()), gone)
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})

    async def _look_up(self) -> None:
        """Again when a second has passed, or other policies are in force."""
        gw = self._gw
        if gw.ticks() - self._looked_up_at >= LOOK_UP_EVERY or self._generation != gw.policies.version:
            self._generation = gw.policies.version
            await look_up(gw)
            self._looked_up_at = gw.ticks()


def counts_for_siblings(gw: Gateway) -> Answers:
    """What the other workers may ask this one."""

    async def dump_denials() -> bytes:
        return gw.denials.dump()

    async def dump_key_uses() -> bytes:
        return gw.key_uses.dump()

    return {"metrics": partial(dump_metrics, gw), "denials": dump_denials, "key uses": dump_key_uses}


async def dump_metrics(gw: Gateway) -> bytes:
    """What this worker counted, for a sibling's scrape; and should it end before the next, for those after that."""
    show_health(gw)
    return await gw.siblings.leave(gw.metrics.dump)


def show_health(gw: Gateway) -> None:
    """Show what `/readyz` goes by, whatever became of looking up: a slow answer is no ledger that is away."""
    gw.metrics.ledger_up.set(gw.ledger.healthy)


async def look_up(gw: Gateway) -> None:
    """Bring the gauges up to date that nobody counts. While the ledger is away they keep their last values."""
    teams = gw.policies.current.teams
    try:
        async with asyncio.timeout(_PATIENCE):
            limits = await limits_of_teams(gw, teams.values())
            counts = await gw.ledger.open_counts()
            backlog = await gw.ledger.outbox.backlog()
    except (LedgerUnavailable, TimeoutError):
        return
    _show_limits(gw, limits)
    gw.metrics.jobs_active.show(_active(gw, counts.active))
    gw.metrics.reservations_open.show({(state.value,): number for state, number in counts.reservations.items()})
    gw.metrics.reservation_age.set(_age(counts.oldest, gw.now()))
    gw.metrics.webhooks_due.set(backlog.count)
    gw.metrics.webhook_age.set(_age(backlog.oldest, gw.now()))
    gw.metrics.keep_teams({*teams, *(team for team, _ in counts.active)})


def _age(since: float | None, now: float) -> float:
    """Seconds since then; 0 for none, and for an instant that a clock set back has left ahead."""
    return 0.0 if since is None else max(0.0, now - since)


def _active(gw: Gateway, jobs: Mapping[tuple[str, str], int]) -> Counter[tuple[str, str]]:
    """Jobs that have not ended by team and model; those of models that are not known go together."""
    active: Counter[tuple[str, str]] = Counter()
    for (team, model), count in jobs.items():
        active[team, model_label(gw, team, model)] += count
    return active


def _show_limits(gw: Gateway, limits: Mapping[str, list[TeamLimit]]) -> None:
    """A limit that each key has of its own shows the key that used most: alerts ask how full it can be."""
    amounts: dict[tuple[str, ...], float] = {}
    used: dict[tuple[str, ...], float] = {}
    for team, rows in limits.items():
        for row in rows:
            limit = row.state.limit
            labels = (team, limit.name)
            amounts[labels] = float(amount_of(row.state.ceiling, limit.unit))
            used[labels] = max(used.get(labels, 0.0), float(amount_of(row.state.used, limit.unit)))
    gw.metrics.quota_limit.show(amounts)
    gw.metrics.quota_used.show(used)
