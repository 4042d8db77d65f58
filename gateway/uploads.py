"""FLOW an input file is to be uploaded: count → have upstream sign a URL for it → hand that out | give back."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gateway import relay
from gateway.context import Gateway
from gateway.core.claims import Claim
from gateway.core.lifecycle import ACCEPTED
from gateway.core.limits import upload_claims
from gateway.core.policy import Caller
from gateway.core.refusals import refusal_for
from gateway.insistence import insist
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import Full
from gateway.notices import report_limits, report_shadowed
from gateway.upstream.client import Answer, Trace, UpstreamFailure


class Asked(NamedTuple):
    """Upstream's answer, and what is used of each limit that the upload counts on, by counter."""

    answer: Answer
    used: Mapping[str, int]


async def request_upload(gw: Gateway, caller: Caller, file_type: str, body: bytes, trace: Trace) -> Asked:
    """Upstream's answer to a request for an upload URL; that is the gateway's own where the team relays.

    Raises Refusal for a full limit, UpstreamFailure, and LedgerUnavailable.

    What upstream does not sign is given back, even if the ledger is away just now. Whoever waits may go away.
    """
    return await gw.tasks.shield(_count_and_ask(gw, caller, file_type, body, trace), "upload")


async def _count_and_ask(gw: Gateway, caller: Caller, file_type: str, body: bytes, trace: Trace) -> Asked:
    if caller.team.uploads.relay:
        relay.require_public_url(gw)
    now = gw.now()
    claims = upload_claims(caller, now)
    taken = await gw.ledger.take(claims)
    if isinstance(taken, Full):
        raise refusal_for(taken.claim, taken.used, caller, now, trace.request_id)
    report_shadowed(gw, caller.team, claims, taken.used)
    try:
        answer = await gw.upstream.upload_url(caller.team.credential, body, trace, caller.team.name)
        if answer.status in ACCEPTED and caller.team.uploads.relay:
            answer = await relay.hand_out(gw, caller, file_type, answer)
    except (UpstreamFailure, LedgerUnavailable):
        await insist(gw, partial(_give_back, gw, claims))
        raise
    if answer.status in ACCEPTED:
        report_limits(gw, caller.team, claims, taken.used)
        return Asked(answer, taken.used)
    await insist(gw, partial(_give_back, gw, claims))
    return Asked(answer, {})


async def _give_back(gw: Gateway, claims: Sequence[Claim]) -> None:
    """Undo the count. Raises LedgerUnavailable if that was surely not done.

    What may be done already is left at that: done twice it would let an upload through beyond the limit.
    """
    try:
        await gw.ledger.give_back(claims)
    except LedgerUnavailable as error:
        if not error.may_be_done:
            raise
        gw.metrics.settlement_errors.inc()
