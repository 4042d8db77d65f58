"""What metrics, log and traces say of a job that was placed, and of one that ended."""

import logging

from gateway.context import Gateway
from gateway.core.lifecycle import Outcome
from gateway.core.money import MICRO
from gateway.ledger.values import Owner
from gateway.logs import log_event
from gateway.telemetry import OTHER


def count_placed(gw: Gateway, request_id: str, owner: Owner) -> None:
    """Upstream has the job, and the ledger says whose it is."""
    gw.metrics.jobs_created(owner.team, model_label(gw, owner.team, owner.model)).inc()
    log_event(logging.INFO, "job placed", request_id=request_id, team=owner.team, model=owner.model)


def count_end(gw: Gateway, request_id: str, owner: Owner, outcome: Outcome) -> None:
    """The ledger took the job's end: said once, by whoever brought it."""
    model = model_label(gw, owner.team, owner.model)
    gw.metrics.jobs_finished(owner.team, model, outcome.value).inc()
    gw.metrics.job_duration(model).observe(max(0.0, gw.now() - owner.created_at))
    gw.metrics.job_cost(owner.team, model).inc(owner.charge(outcome) / MICRO)
    log_event(logging.INFO, "job ended", request_id=request_id, team=owner.team, model=owner.model, outcome=outcome)
    if owner.trace is not None:
        _trace_end(gw, request_id, owner, outcome, owner.trace)


def _trace_end(gw: Gateway, request_id: str, owner: Owner, outcome: Outcome, trace: str) -> None:
    """The job as a span in the trace of its create, which another gateway may have answered long ago."""
    facts = {
        "gateway.team": owner.team,
        "gateway.key": owner.key,
        "gateway.model": owner.model,
        "gateway.job": request_id,
        "gateway.outcome": outcome.value,
        "gateway.usd": owner.charge(outcome) / MICRO,
    }
    fault = outcome.value if outcome in (Outcome.FAILED, Outcome.EXPIRED) else ""
    gw.traces.record_job(trace, (owner.created_at, gw.now()), facts, fault)


def model_label(gw: Gateway, team: str, model: str) -> str:
    """The model as metrics name it: `other` for one that neither the team's policy nor a listing kept here names."""
    policies = gw.policies.current
    listings = [gw.catalogue.on_error(("models", credential)) for credential in policies.credentials]
    is_listed = any(listing is not None and model in listing.value.ids for listing in listings)
    return model if is_listed or (team in policies.teams and model in policies.teams[team].allow) else OTHER
