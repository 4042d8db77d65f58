"""FLOW what happened is told to a team's receiver: due → claimed → posted → taken | tried again | given up.

The ledger makes a delivery due in the transaction that ends its job, so nothing is lost by a crash and nothing waits
for a receiver. A receiver may see an event twice, when the gateway is lost between its answer and the ledger; the id is
then the same.
"""

import logging
import random
from collections.abc import Callable
from functools import partial

from gateway import __version__
from gateway.context import Gateway
from gateway.core.addresses import is_listed
from gateway.core.policy import PolicySet, Source, Webhooks
from gateway.core.webhooks import Standing, asked_pause, is_taken, next_attempt, result_of, sign, signing_key
from gateway.insistence import insist_quietly
from gateway.ledger.delivery_values import Attempt, Delivery, DueDelivery
from gateway.logs import log_event
from gateway.outbound import AT_ONCE, OutboundFailure
from gateway.upstream.credentials import Secret

LEASE = 60.0
"""Seconds one gateway has to try a delivery it claimed, before another may."""

_DUE_AT_ONCE = AT_ONCE * 2
"""Deliveries read at a time."""


def missing_secrets(
    policies: PolicySet, read: Callable[[Source], Secret | None], fault: Callable[[Source], str]
) -> list[str]:
    """For each team with webhooks whose secret cannot sign: why not, without the secret."""
    problems = []
    for team in policies.teams.values():
        if team.webhooks is None:
            continue
        secret = read(team.webhooks.secret)
        if secret is None:
            problems.append(f"webhooks of team {team.name!r}: no secret: {fault(team.webhooks.secret)}")
            continue
        try:
            signing_key(secret.text)
        except ValueError as error:
            problems.append(f"webhooks of team {team.name!r}: the secret in {team.webhooks.secret.value} {error}")
    return problems


async def deliver(gw: Gateway) -> None:
    """One round: claim what is due and begin to send it. What is slow is not waited for.

    What found no place is left to the next round, for which `Outbound.freed` asks.
    """
    while await _begin(gw):
        pass


async def _begin(gw: Gateway) -> bool:
    """Begin to send what was due first, as far as there is room; whether more may be due, of teams with room."""
    full = gw.outbound.full_hosts(), gw.outbound.full_teams(), gw.outbound.full_pairs()
    found = await gw.ledger.outbox.due(gw.now(), *full, _DUE_AT_ONCE)
    wanted = [each for each in found if gw.outbound.enter(each.team, each.host)]
    if not wanted:
        return False
    claimed: list[Delivery] = []
    try:
        claimed = await gw.ledger.outbox.claim(wanted, gw.now(), gw.now() + LEASE)
    finally:
        _withdraw_all(gw, wanted, {each.id for each in claimed})
    for delivery in claimed:
        gw.tasks.start(_attempt(gw, delivery), "deliver webhook")
    return bool(claimed) and len(found) == _DUE_AT_ONCE


def _withdraw_all(gw: Gateway, wanted: list[DueDelivery], claimed: set[str]) -> None:
    """Give up the places of what another gateway was faster to claim."""
    for each in wanted:
        if each.id not in claimed:
            gw.outbound.withdraw(each.team, each.host)


async def _attempt(gw: Gateway, delivery: Delivery) -> None:
    """Send it once, and write down what came of it."""
    began = gw.ticks()
    try:
        attempt = await _send(gw, delivery)
    finally:
        gw.outbound.leave(delivery.team, delivery.target.host)
    await _conclude(gw, delivery, attempt, gw.ticks() - began)


async def _send(gw: Gateway, delivery: Delivery) -> Attempt:
    """One attempt. The policy is asked anew: what it allowed when the job was created may be long ago."""
    webhooks = _allowed(gw, delivery)
    if webhooks is None:
        return Attempt(Standing.FAILED, None, "the team's policy does not allow it any more", None)
    try:
        answer = await gw.outbound.post(delivery.target, _headers(gw, delivery, webhooks), delivery.body)
    except OutboundFailure as failure:
        return _not_taken(gw, delivery, None, str(failure))
    status = answer.status_code
    if is_taken(status):
        return Attempt(Standing.DELIVERED, status, None, None)
    asked = asked_pause(status, answer.headers.get("retry-after", ""))
    return _not_taken(gw, delivery, status, f"answered {status}", asked)


def _allowed(gw: Gateway, delivery: Delivery) -> Webhooks | None:
    """The team's webhooks as they are now, if the host is still among them."""
    team = gw.policies.current.teams.get(delivery.team)
    webhooks = team.webhooks if team is not None else None
    return webhooks if webhooks is not None and is_listed(delivery.target.host, webhooks.hosts) else None


def _headers(gw: Gateway, delivery: Delivery, webhooks: Webhooks) -> dict[str, str]:
    """The three headers of Standard Webhooks, and ours. Raises OutboundFailure if there is nothing to sign with."""
    secret = gw.credentials.secret(webhooks.secret)
    try:
        key = signing_key(secret.text if secret is not None else "")
    except ValueError:
        raise OutboundFailure("the secret that signs it cannot be read") from None
    now = int(gw.now())
    return {
        "Content-Type": "application/json",
        "User-Agent": f"gmi-gateway/{__version__}",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(key, delivery.id, now, delivery.body),
    }


def _not_taken(gw: Gateway, delivery: Delivery, status: int | None, problem: str, asked: float = 0.0) -> Attempt:
    luck = random.random()  # noqa: S311 - jitter, no secret
    again = next_attempt(delivery.attempts, delivery.due_at, gw.now(), luck, status, asked)
    return Attempt(Standing.FAILED if again is None else Standing.DUE, status, problem, again)


async def _conclude(gw: Gateway, delivery: Delivery, attempt: Attempt, seconds: float) -> None:
    """Write it down, now or as soon as the ledger takes it, and tell it. A log line never holds path or query."""
    await insist_quietly(gw, partial(gw.ledger.outbox.conclude, delivery, attempt, gw.now()))
    gw.metrics.webhook_attempts(result_of(attempt.standing, attempt.status).value).inc()
    facts = {
        "id": delivery.id,
        "team": delivery.team,
        "host": delivery.target.host,
        "attempt": delivery.attempts,
        "status": attempt.status,
        "seconds": round(seconds, 3),
    }
    match attempt.standing:
        case Standing.DELIVERED:
            log_event(logging.INFO, "webhook delivered", **facts)
        case Standing.FAILED:
            log_event(logging.ERROR, "webhook given up", **facts, problem=attempt.problem)
        case _:
            log_event(logging.WARNING, "webhook not taken", **facts, problem=attempt.problem)
