"""What is said when something was taken from the limits: the log and the metrics a team's platform people watch.

A team that has `notify` is told as well, once per limit, percentage and window, whichever gateways saw it.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from gateway.context import Gateway
from gateway.core.addresses import Target
from gateway.core.claims import Bound, Claim
from gateway.core.limits import crossed, shadowed
from gateway.core.money import usd_number
from gateway.core.policy import Team, Unit
from gateway.core.webhooks import message
from gateway.core.wording import limit_words, rfc3339
from gateway.insistence import insist_quietly
from gateway.ledger.delivery_values import Notice
from gateway.logs import log_event

_encode = msgspec.json.Encoder(decimal_format="number").encode

LIMIT = "limit"
"""The kind of delivery that tells of a limit filling up."""


def report_shadowed(gw: Gateway, team: Team, claims: Sequence[Claim], used: Mapping[str, int]) -> None:
    """Say which shadow limits would have refused, which is before upstream is asked: `used` as in `report_limits`."""
    for limit in shadowed(claims, used):
        gw.metrics.shadow_denied(team.name, limit.name).inc()
        log_event(logging.INFO, "shadow limit passed", team=team.name, limit=limit.name)


def report_limits(gw: Gateway, team: Team, claims: Sequence[Claim], used: Mapping[str, int]) -> None:
    """Say which limits have just become as full as they warn of: once it is known that what was taken stays taken.

    `used` is each counter's value after the claims were taken.
    """
    for claim in claims:
        for bound in claim.bounds:
            for percent in crossed(bound, used[claim.counter] - claim.amount, used[claim.counter]):
                log_event(logging.WARNING, "limit filling up", team=team.name, limit=bound.limit.name, percent=percent)
                if team.notify is not None:
                    now = gw.now()
                    body = _warning(team, claim, bound, percent, used[claim.counter], now)
                    _tell(gw, team, team.notify, f"{_window(claim, now)}/{bound.limit.name}/{percent}", body)


def _tell(gw: Gateway, team: Team, target: Target, event: str, body: bytes) -> None:
    """Have it delivered. The ledger takes one of each event."""
    notice = Notice(LIMIT, event, team.name, target, body)
    gw.tasks.start(insist_quietly(gw, partial(gw.ledger.outbox.notify, notice, gw.now())), "notify")


def _window(claim: Claim, now: float) -> str:
    """The counter, which names the window; that of a level, which has none, with the day."""
    return claim.counter if claim.window_ends is not None else f"{claim.counter}/{rfc3339(now)[:10]}"


def _warning(team: Team, claim: Claim, bound: Bound, percent: int, used: int, now: float) -> bytes:
    """The message: which limit, how full, and when its window ends. Money is in USD."""
    limit = bound.limit
    show = usd_number if limit.unit is Unit.USD else int
    data = {
        "team": team.name,
        "limit": limit.name,
        "meaning": limit_words(limit, bound.ceiling),
        "percent": percent,
        "used": show(used),
        "ceiling": show(bound.ceiling),
        "unit": limit.unit.value,
        "resets_at": None if claim.window_ends is None else rfc3339(claim.window_ends),
    }
    return message("limit.warning", now, _encode(data))
