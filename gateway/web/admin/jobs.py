"""`/api/jobs` and `/api/denials`: what was let through lately, and what was not."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.core.errors import Code
from gateway.core.lifecycle import Outcome
from gateway.core.money import usd_number
from gateway.core.wording import rfc3339
from gateway.ledger.overview import ShownJob, Wanted, shown_jobs
from gateway.telemetry import OTHER, Denial
from gateway.web.admin.answers import gateway_of, json_response, read_query
from gateway.web.query import check_word, read_limit, read_number, read_offset

STATUSES = ("created", "queued", "dispatched", "processing", "success", "failed", "cancelled")
"""GMI's own words. A word upstream used besides these finds its jobs all the same."""

_ENDS: Mapping[str, bool] = {"live": False, "ended": True}
"""Words of the filter `status` that mean more than one of the others."""

FILTERS = (*_ENDS, *STATUSES, Outcome.EXPIRED.value)
"""The words of the filter `status` that are known beforehand. `expired` is the gateway's, of jobs past their time."""

_MOST_DENIALS = 1000


async def jobs(request: Request) -> Response:
    """`GET /api/jobs?team=&model=&status=&limit=&offset=`: the ledger's jobs, newest first, without their records."""
    values = read_query(request, "team", "model", "status", "limit", "offset")
    wanted = read_wanted(values, read_limit(values))
    gw, team, status = gateway_of(request), values.get("team"), values.get("status")
    found, total = await gw.ledger.survey(shown_jobs, wanted)
    if not total and team is not None:
        check_word("team", team, gw.policies.current.teams)
    if not total and status is not None:
        check_word("status", status, FILTERS)
    more = wanted.offset + len(found) < total
    return json_response({"jobs": [_job(job) for job in found], "has_more": more, "total": total})


def read_wanted(values: Mapping[str, str], limit: int) -> Wanted:
    """The jobs that the query asks for, at most so many of them."""
    status = values.get("status")
    return Wanted(
        team=values.get("team"),
        model=values.get("model"),
        status=None if status in _ENDS else status,
        ended=_ENDS.get(status or ""),
        limit=limit,
        offset=read_offset(values),
    )


def _job(job: ShownJob) -> dict[str, Any]:
    """Prompts and outcomes are the team's own and stay out."""
    return {
        "request_id": job.request_id,
        "team": job.team,
        "key": job.key,
        "model": job.model,
        "status": job.status,
        "outcome": job.outcome,
        "price_usd": usd_number(job.price),
        "created_at": rfc3339(job.created_at),
        "settled_at": None if job.settled_at is None else rfc3339(job.settled_at),
    }


async def denials(request: Request) -> Response:
    """`GET /api/denials?team=&code=&limit=`: what was refused lately, newest first.

    Callers without a valid key are team `other`.
    """
    values = read_query(request, "team", "code", "limit")
    limit = read_number(values, "limit", 100, 1, _MOST_DENIALS)
    gw, team, code = gateway_of(request), values.get("team"), values.get("code")
    others = await gw.siblings.ask("denials")
    latest = gw.denials.latest(limit, team, code, others.values())
    if not latest and team is not None:
        check_word("team", team, {OTHER, *gw.policies.current.teams})
    if not latest and code is not None:
        check_word("code", code, Code)
    return json_response({"denials": [_denial(denial) for denial in latest]})


def _denial(denial: Denial) -> dict[str, Any]:
    return {
        "time": rfc3339(denial.time),
        "team": denial.team,
        "key": denial.key,
        "model": denial.model,
        "code": denial.code,
        "message": denial.message,
        "request_id": denial.request_id,
    }
