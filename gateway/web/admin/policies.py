"""`/api/policies` and `POST /reload`: the policies in force, as they were understood."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.core.money import usd_number
from gateway.core.policy import Credential, Key, Limit, PayloadRule, Price, Source, Team
from gateway.core.wording import rfc3339
from gateway.reloading import reload_everywhere
from gateway.web.admin.answers import (
    POLICIES_REFUSED,
    error_response,
    gateway_of,
    json_response,
    read_query,
    request_id_of,
)
from gateway.web.admin.health import policies_state
from gateway.web.respond import amount_of


async def policies(request: Request) -> Response:
    """`GET /api/policies`: defaults and overrides taken in, keys by their hash, credentials by their sources."""
    read_query(request)
    gw = gateway_of(request)
    current, now = gw.policies.current, gw.now()
    return json_response(
        {
            **policies_state(gw),
            "teams": [_team(current.teams[name], now) for name in sorted(current.teams)],
            "credentials": [_credential(current.credentials[name]) for name in sorted(current.credentials)],
            "prices": [_price(price) for price in current.prices],
            "unpriced": current.unpriced,
            "queueing": msgspec.to_builtins(current.queueing),
        }
    )


async def reload(request: Request) -> Response:
    """`POST /reload`: read the files now. 422 with the problems where the last good set stays in force.

    A browser is led back to the dashboard, which shows the same.
    """
    gw = gateway_of(request)
    reloaded = await gw.tasks.shield(reload_everywhere(gw), "reload")
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/#policies", 303)
    state = policies_state(gw)
    if reloaded:
        return json_response({"reloaded": True, "version": state["version"], "problems": state["problems"]})
    return error_response(
        422,
        POLICIES_REFUSED,
        "The policy files have problems, so the last good policies stay in force.",
        request_id_of(request),
        reloaded=False,
        version=state["version"],
        problems=state["problems"],
    )


def _team(team: Team, now: float) -> dict[str, Any]:
    return {
        "team": team.name,
        "description": team.description,
        "timezone": team.timezone,
        "credential": team.credential,
        "keys": [_key(key) for key in team.keys],
        "models": {"allow": list(team.allow), "deny": list(team.deny)},
        "limits": [_limit(limit, now) for limit in team.limits],
        "payload": [_payload_rule(rule) for rule in team.payload],
        "uploads": msgspec.to_builtins(team.uploads),
        "duplicates": {"window_seconds": team.duplicates_window},
        "charge_failed": team.charge_failed,
        "job_timeout_seconds": team.job_timeout,
        "webhooks": None
        if team.webhooks is None
        else {"hosts": list(team.webhooks.hosts), "secret": _source(team.webhooks.secret)},
        "notify": None if team.notify is None else team.notify.host,
    }


def _key(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "hash": f"sha256:{key.digest}",
        "scopes": sorted(key.scopes),
        "expires": None if key.expires is None else rfc3339(key.expires),
    }


def _limit(limit: Limit, now: float) -> dict[str, Any]:
    """`limit` is the amount in force now; `without_overrides` what it goes back to."""
    return {
        "name": limit.name,
        "limit": amount_of(limit.ceiling(now), limit.unit),
        "without_overrides": amount_of(limit.amount, limit.unit),
        "unit": limit.unit.value,
        "window": limit.period.value,
        "scope": "key" if limit.per_key else "team",
        "models": list(limit.models),
        "mode": limit.mode.value,
        "warn": list(limit.warn),
        "overrides": [
            {
                "limit": amount_of(override.amount, limit.unit),
                "until": rfc3339(override.until),
                "reason": override.reason,
            }
            for override in limit.overrides
        ],
    }


def _payload_rule(rule: PayloadRule) -> dict[str, Any]:
    """Only what a rule says: unset conditions are left out."""
    parameters = [
        {name: value for name, value in msgspec.to_builtins(parameter).items() if value not in (None, False, [], ())}
        for parameter in rule.parameters
    ]
    return {"models": list(rule.models), "parameters": parameters}


def _price(price: Price) -> dict[str, Any]:
    return {
        "models": list(price.models),
        "usd": usd_number(price.amount),
        "per": price.per.value,
        "quantity_field": price.quantity_field,
        "default_quantity": price.default_quantity,
        "when": dict(price.when),
    }


def _credential(credential: Credential) -> dict[str, Any]:
    return {
        "name": credential.name,
        "api_keys": [_source(source) for source in credential.api_keys],
        "organization": None if credential.organization is None else _source(credential.organization),
    }


def _source(source: Source) -> str:
    """Where a secret is read. An organisation written into the file is not repeated here."""
    return "text" if source.kind == "text" else f"{source.kind}:{source.value}"
