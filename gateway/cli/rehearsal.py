"""Creates of the past before other policies: the same rules and the same claims, on counters in memory.

What depends on a payload cannot be known here, because no log holds one. A limit on jobs at once refuses only from the
first job on that was seen to end: without ends every slot would be held for ever.
"""

from dataclasses import dataclass, field
from math import ceil

from gateway.cli.access_log import Asked, Ended
from gateway.core.access import check_scope, matches, may_use
from gateway.core.claims import Claim, OnSettle
from gateway.core.errors import Code, Refusal
from gateway.core.lifecycle import Outcome, money_is_kept
from gateway.core.limits import claims_for, request_bounds
from gateway.core.money import LARGEST
from gateway.core.policy import Caller, Mode, Per, PolicySet, Scope, Unit, Unpriced
from gateway.core.refusals import refusal_for, refusal_for_requests

_MOST_EARLY = 100_000
"""Ends kept of jobs whose create has not been read: the log begins, or its two halves are mixed, somewhere."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a create costs under the new policies, in micro-USD; None where it cannot be known.

    `is_new` says that the new policies' own price was worked out; else it is what the log says.
    """

    amount: int | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What one job holds, to be given back when it ends."""

    amounts: tuple[tuple[str, int, OnSettle], ...]
    charge_failed: bool


@dataclass
class Rehearsal:
    """The new policies with counters that begin empty. `ends_seen` once any job was seen to end."""

    policy: PolicySet
    used: dict[str, int] = field(default_factory=dict)
    ends_seen: bool = False
    _held: dict[str, Taken] = field(default_factory=dict)
    _early: dict[str, Outcome] = field(default_factory=dict)

    def count(self, asked: Asked) -> Refusal | None:
        """Count a call against the team's request rates, as every call counts; its refusal where one is used up."""
        caller = self._find(asked)
        if isinstance(caller, Refusal):
            return caller
        bounds = request_bounds(caller, asked.instant)
        for bound in bounds:
            if bound.mode is Mode.ENFORCE and self.used.get(bound.counter, 0) >= bound.ceiling:
                return refusal_for_requests(bound, caller, asked.instant, "")
        for bound in bounds:
            self.used[bound.counter] = self.used.get(bound.counter, 0) + 1
        return None

    def create(self, asked: Asked, price: Price) -> Refusal | None:
        """What the new policies say of a create whose call was counted. One that is let through takes its claims."""
        caller = self._find(asked)
        if isinstance(caller, Refusal):
            return caller
        refusal = _judge(self.policy, caller, asked, price)
        if refusal is not None:
            return refusal
        claims = claims_for(caller, asked.model, price.amount or 0, asked.seconds, asked.instant)
        for claim in claims:
            used = self.used.get(claim.counter, 0)
            if self._binds(claim) and claim.ceiling is not None and used + claim.amount > claim.ceiling:
                return refusal_for(claim, used, caller, asked.instant, "")
        self._take(caller, asked, claims)
        return None

    def end(self, ended: Ended) -> None:
        """A job ended: its slots come back, and its money where the new policies do not keep it."""
        self.ends_seen = True
        taken = self._held.pop(ended.job, None)
        if taken is not None:
            self._give_back(taken, ended.outcome)
            return
        if len(self._early) >= _MOST_EARLY:
            del self._early[next(iter(self._early))]
        self._early[ended.job] = ended.outcome

    def _find(self, asked: Asked) -> Caller | Refusal:
        team = self.policy.teams.get(asked.team)
        key = next((key for key in team.keys if key.name == asked.key), None) if team is not None else None
        if key is None:
            whose = f"team {asked.team}" if team is None else f"key {asked.key!r} of team {asked.team}"
            return Refusal(Code.KEY_INVALID, f"These policies have no {whose}.")
        if key.has_expired(asked.instant):
            return Refusal(Code.KEY_EXPIRED, f"The key {key.name!r} has expired.")
        return self.policy.callers[key.digest]

    def _binds(self, claim: Claim) -> bool:
        return claim.on_settle is not OnSettle.RETURN or self.ends_seen

    def _take(self, caller: Caller, asked: Asked, claims: tuple[Claim, ...]) -> None:
        for claim in claims:
            if asked.job or claim.on_settle is not OnSettle.RETURN:  # a job that never was ends at no known time
                self.used[claim.counter] = self.used.get(claim.counter, 0) + claim.amount
        if not asked.job:
            return
        amounts = tuple(
            (claim.counter, claim.amount, claim.on_settle) for claim in claims if claim.on_settle is not OnSettle.KEEP
        )
        taken = Taken(amounts, caller.team.charge_failed)
        outcome = self._early.pop(asked.job, None)
        if outcome is not None:
            self._give_back(taken, outcome)
        elif amounts:
            self._held[asked.job] = taken

    def _give_back(self, taken: Taken, outcome: Outcome) -> None:
        kept = money_is_kept(outcome, charge_failed=taken.charge_failed)
        for counter, amount, on_settle in taken.amounts:
            if on_settle is OnSettle.RETURN or not kept:
                self.used[counter] -= amount


def _judge(policy: PolicySet, caller: Caller, asked: Asked, price: Price) -> Refusal | None:
    """What no counter decides: scope, model, and a price that nobody states."""
    try:
        check_scope(caller.key, Scope.JOBS)
    except Refusal as refusal:
        return refusal
    allowed, text = may_use(caller.team, asked.model)
    if not allowed:
        return Refusal(Code.MODEL_NOT_ALLOWED, text)
    was_unpriced = price.amount is None and asked.was_placed
    if was_unpriced and caller.team.has_budget and policy.unpriced is Unpriced.REFUSE:
        return Refusal(Code.PRICE_UNKNOWN, f"The price is unknown and team {caller.team.name} has a budget.")
    return None


def price_for(policy: PolicySet, asked: Asked) -> Price:
    """The new policies' price where model and seconds alone decide it; else what the log says it cost."""
    price = next((price for price in policy.prices if matches(price.models, asked.model)), None)
    if price is None or price.when:
        return Price(asked.usd, is_new=False)
    if price.per is Per.JOB:
        return Price(price.amount, is_new=True)
    if price.per is Per.SECOND and asked.seconds > 0:
        return Price(min(LARGEST, ceil(price.amount * asked.seconds)), is_new=True)
    return Price(asked.usd, is_new=False)


def has_slots(policy: PolicySet) -> bool:
    """Whether any team limits jobs at once."""
    return any(
        limit.unit is Unit.JOBS and limit.period == "at once" and limit.mode is Mode.ENFORCE
        for team in policy.teams.values()
        for limit in team.limits
    )
