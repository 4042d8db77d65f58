"""What is said when something was taken from the limits: the log and the metrics a team's platform people watch."""

import logging
from collections.abc import Mapping, Sequence

from gateway.context import Gateway
from gateway.core.claims import Claim
from gateway.core.limits import crossed, shadowed
from gateway.logs import log_event


def report_limits(gw: Gateway, team: str, claims: Sequence[Claim], used: Mapping[str, int]) -> None:
    """Say which shadow limits would have refused, and which limits have just become as full as they warn of.

    `used` is each counter's value after the claims were taken.
    """
    for limit in shadowed(claims, used):
        gw.metrics.shadow_denied(team, limit.name).inc()
        log_event(logging.INFO, "shadow limit passed", team=team, limit=limit.name)
    for claim in claims:
        for bound in claim.bounds:
            for percent in crossed(bound, used[claim.counter] - claim.amount, used[claim.counter]):
                log_event(logging.WARNING, "limit filling up", team=team, limit=bound.limit.name, percent=percent)
