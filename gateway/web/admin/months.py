"""What teams did in a calendar month, each in its own time zone."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.core.money import usd_number
from gateway.core.policy import Period, Team
from gateway.core.windows import Window, window_at
from gateway.ledger.values import UsageRow
from gateway.web.admin.answers import gateway_of, json_response, read_query
from gateway.web.query import check_word

_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")
_REMOVED_TEAMS_ZONE = "UTC"
"""A team that policy does not know any more has no time zone left."""


async def usage(request: Request) -> Response:
    """`GET /api/usage?month=2026-11&team=`: a row per team, key and model, and the total. Default: this month."""
    gw = gateway_of(request)
    values = read_query(request, "month", "team")
    month = values.get("month") or datetime.fromtimestamp(gw.now(), UTC).strftime("%Y-%m")
    team, instant = values.get("team"), _inside(month)
    by_team = await rows_by_team(gw, instant, team)
    if team is not None and not by_team:
        check_word("team", team, gw.policies.current.teams)
    rows = [row for team in sorted(by_team) for row in by_team[team]]
    return json_response({"month": month, "rows": [_row(row) for row in rows], "total": _sums(rows)})


async def rows_by_team(
    gw: Gateway, instant: float, team: str | None = None, back: int = 0
) -> dict[str, list[UsageRow]]:
    """The ledger's rows of the month that holds `instant`, or so many months before it, by team; without those that
    have none.

    One query per time zone in use, not one per team. Raises LedgerUnavailable.
    """
    teams = gw.policies.current.teams
    zones = {_zone(teams, name) for name in ([team] if team is not None else teams)}
    if team is None:
        zones.add(_REMOVED_TEAMS_ZONE)
    found: dict[str, list[UsageRow]] = {}
    for zone in sorted(zones):
        month = month_back(zone, instant, back)
        for row in await gw.ledger.usage(team, month.starts, month.ends):
            if _zone(teams, row.team) == zone:
                found.setdefault(row.team, []).append(row)
    return found


def month_back(zone: str, instant: float, back: int) -> Window:
    """The month of this time zone that holds `instant`, or so many months before it."""
    month = window_at(Period.MONTH, zone, instant)
    for _ in range(back):
        month = window_at(Period.MONTH, zone, month.starts - 1)
    return month


def _zone(teams: Mapping[str, Team], name: str) -> str:
    return teams[name].timezone if name in teams else _REMOVED_TEAMS_ZONE


def _inside(month: str) -> float:
    """An instant in the middle of `2026-11`, whatever the time zone."""
    match = _MONTH.fullmatch(month)
    if match is None:
        raise Refusal(Code.INVALID_REQUEST, "`month` must be a year and month such as `2026-11`.")
    return datetime(int(match[1]), int(match[2]), 15, tzinfo=UTC).timestamp()


def _row(row: UsageRow) -> dict[str, Any]:
    return {"team": row.team, "key": row.key, "model": row.model, **_sums([row])}


def _sums(rows: list[UsageRow]) -> dict[str, Any]:
    """The sum of each number.

    `unsuccessful` are the jobs that failed, were cancelled, or were never seen to end. `usd` is what is spent;
    `held_usd` is the part of it that running jobs may still give back.
    """
    return {
        "jobs": sum(row.jobs for row in rows),
        "succeeded": sum(row.succeeded for row in rows),
        "unsuccessful": sum(row.failed for row in rows),
        "open": sum(row.open for row in rows),
        "refused": sum(row.refused for row in rows),
        "usd": usd_number(sum(row.spent for row in rows)),
        "held_usd": usd_number(sum(row.held for row in rows)),
    }
