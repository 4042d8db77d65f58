"""What a caller may know of its own policy: usage, and why a request would be let through or not."""

from typing import Any

from gateway import catalogue
from gateway.core.decide import Decision, decide, describe_limits
from gateway.core.limits import LimitState, counters_of, limit_states
from gateway.core.money import usd_number
from gateway.core.policy import Period
from gateway.core.windows import window_at
from gateway.core.wording import rfc3339
from gateway.ledger.values import UsageRow
from gateway.web.bodies import read_draft
from gateway.web.call import Call
from gateway.web.respond import Reply, amount_of, json_reply

_RELAYS = (b"x-gateway-relay", b"on")
"""Tells who asks, such as the team page, that the team's files may be had here. To try would be a refused call."""


async def usage(call: Call) -> Reply:
    """`GET /gateway/v1/usage`: every limit with what is left of it, and the month so far."""
    gw, caller, now = call.gw, call.caller, call.gw.now()
    used = gw.leases.less_held(await gw.ledger.used(counters_of(caller, now)))
    states = limit_states(caller, used, now)
    month = window_at(Period.MONTH, caller.team.timezone, now)
    rows = await gw.ledger.usage(caller.team.name, month.starts, month.ends)
    return json_reply(
        {
            "team": caller.team.name,
            "key": caller.key.name,
            "limits": [limit_row(state) for state in states],
            "month": month_summary(rows),
        },
        *([_RELAYS] if caller.team.uploads.relay else []),
    )


def limit_row(state: LimitState) -> dict[str, Any]:
    """One limit as every usage body shows it."""
    limit = state.limit
    return {
        "name": limit.name,
        "limit": amount_of(state.ceiling, limit.unit),
        "unit": limit.unit.value,
        "window": limit.period.value,
        "scope": "key" if limit.per_key else "team",
        "models": list(limit.models),
        "mode": limit.mode.value,
        "used": amount_of(state.used, limit.unit),
        "remaining": amount_of(state.remaining, limit.unit),
        "resets_at": None if state.resets_at is None else rfc3339(state.resets_at),
    }


def month_summary(rows: list[UsageRow]) -> dict[str, Any]:
    """Jobs and money of a month, in all and by model. Money held by running jobs counts as spent."""
    by_model: dict[str, dict[str, Any]] = {}
    for row in (row for row in rows if row.jobs):  # others are of refused calls alone
        entry = by_model.setdefault(row.model, {"jobs": 0, "usd": 0})
        entry["jobs"] += row.jobs
        entry["usd"] += row.spent
    total = sum(entry["usd"] for entry in by_model.values())
    jobs = sum(entry["jobs"] for entry in by_model.values())
    shown = {model: {"jobs": entry["jobs"], "usd": usd_number(entry["usd"])} for model, entry in by_model.items()}
    return {"jobs": jobs, "usd": usd_number(total), "by_model": shown}


async def explain(call: Call) -> Reply:
    """`POST /gateway/v1/explain`: the decision on a create's body, step by step; nothing is charged."""
    draft = await read_draft(call)
    detail = await catalogue.detail_for_decision(call.gw, call.caller, draft.model)
    now = call.gw.now()
    decision = decide(call.policy, call.caller, draft, detail, now)
    used = await call.gw.ledger.used([claim.counter for claim in decision.claims])
    return json_reply(explained(describe_limits(decision, call.caller, used, now)))


def explained(decision: Decision) -> dict[str, Any]:
    """A decision as JSON: its steps in order, the price and how it was reached, and what it would refuse with.

    The price's `usd` is null where it is unknown, or where an earlier rule refused.
    """
    return {
        "allowed": decision.refusal is None,
        "code": None if decision.refusal is None else decision.refusal.code.value,
        "error": None if decision.refusal is None else decision.refusal.message,
        "price": {"usd": usd_number(decision.price) if decision.is_priced else None, "text": decision.price_text},
        "seconds": decision.seconds,
        "steps": [{"rule": step.rule, "verdict": step.verdict.value, "text": step.text} for step in decision.steps],
    }
