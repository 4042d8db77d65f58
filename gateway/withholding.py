"""Which errors of upstream's are not told: those that name another team's job."""

import logging
import re

from gateway.context import Gateway
from gateway.ledger.ledger import LedgerUnavailable
from gateway.logs import log_event
from gateway.orders import Order
from gateway.upstream.client import Answer
from gateway.upstream.translate import refused_request

_JOB_ID = re.compile(rb"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""GMI's are UUIDs."""

_LOOKED_THROUGH = 1024 * 1024
"""Bytes of an error's body that are looked through, and more than any has."""

_MOST_ASKED_ABOUT = 100
"""Ids whose owners are asked for; an error that names more is not told."""


async def names_anothers_job(gw: Gateway, order: Order, answer: Answer) -> bool:
    """Whether an error names, wherever, a job of another team's, or one of which nobody can tell whose it is.

    One of the team's own it may well name, and what stands in the create itself: to withhold that would tell whether
    there is such a job. Whose a job is never changes, so it may be asked before anything is done about the answer.
    """
    team = order.caller.team.name
    foreign = [name for name in _jobs_named_in(answer) if name.encode() not in order.draft.body]
    named = {form for name in foreign for form in (name, name.lower())}
    if not named:
        return False
    try:
        owners = await gw.ledger.owners(sorted(named)) if len(named) <= _MOST_ASKED_ABOUT else None
    except LedgerUnavailable:
        owners = None
    if owners is not None and all(owner.team == team for owner in owners.values()):
        return False
    event = "upstream named another team's job"
    log_event(logging.ERROR, event, team=team, reservation=order.reservation_id, known=owners is not None)
    return True


def _jobs_named_in(answer: Answer) -> set[str]:
    """The ids in an error's fields, texts and headers."""
    texts = [answer.body[:_LOOKED_THROUGH], *(value for _, value in answer.headers)]
    found = {each.decode() for text in texts for each in _JOB_ID.findall(text)}
    told = refused_request(answer.body)
    return found if told is None else {*found, told.request_id}
