"""`/api/teams`: what each team may do, how much of it is used, and with which keys."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.context import Gateway
from gateway.core.policy import Key, Team
from gateway.core.wording import rfc3339
from gateway.ledger.values import UsageRow
from gateway.web.admin.answers import (
    NOT_FOUND,
    error_response,
    gateway_of,
    json_response,
    read_query,
    request_id_of,
)
from gateway.web.admin.limits import TeamLimit, limits_of_teams
from gateway.web.admin.months import rows_by_team
from gateway.web.usage import limit_row, month_summary


async def teams(request: Request) -> Response:
    """`GET /api/teams`: every team, by name."""
    read_query(request)
    gw = gateway_of(request)
    found = gw.policies.current.teams
    return json_response({"teams": await _described(gw, [found[name] for name in sorted(found)])})


async def team(request: Request) -> Response:
    """`GET /api/teams/{team}`: one team."""
    read_query(request)
    gw = gateway_of(request)
    found = gw.policies.current.teams.get(request.path_params["team"])
    if found is None:
        return error_response(404, NOT_FOUND, "The policies name no such team.", request_id_of(request))
    [described] = await _described(gw, [found])
    return json_response(described)


async def _described(gw: Gateway, wanted: list[Team]) -> list[dict[str, Any]]:
    limits = await limits_of_teams(gw, wanted)
    months = await rows_by_team(gw, gw.now(), wanted[0].name if len(wanted) == 1 else None)
    now = gw.now()
    return [_describe(each, limits[each.name], months.get(each.name, []), now) for each in wanted]


def _describe(described: Team, limits: list[TeamLimit], month: list[UsageRow], now: float) -> dict[str, Any]:
    """The limits and the month as `GET /gateway/v1/usage` shows them; a limit of each key's own names the key."""
    return {
        "team": described.name,
        "description": described.description,
        "timezone": described.timezone,
        "credential": described.credential,
        "models": {"allow": list(described.allow), "deny": list(described.deny)},
        "keys": [_key(key, now) for key in described.keys],
        "limits": [{**limit_row(limit.state), **({"key": limit.key} if limit.key else {})} for limit in limits],
        "month": month_summary(month),
    }


def _key(key: Key, now: float) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": sorted(key.scopes),
        "expires": None if key.expires is None else rfc3339(key.expires),
        "expired": key.has_expired(now),
    }
