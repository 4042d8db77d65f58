"""One decision about one draft: every rule consulted, in order, in words that every surface shows alike.

The rules are scope, model, payload, price, limits; the first that refuses ends it. `decide` knows no counters: of
limits it says what the draft would take. `describe_limits` adds how full they are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.core.access import check_scope, may_use
from gateway.core.claims import Bound, Claim
from gateway.core.detail import ModelDetail
from gateway.core.errors import Code, Refusal
from gateway.core.limits import applies_to, claims_for
from gateway.core.payload import check_required, check_rule, check_spelling, rules_for
from gateway.core.policy import Caller, Limit, Mode, ParameterRule, PolicySet, Scope, Unit, Unpriced
from gateway.core.pricing import Quote, quote
from gateway.core.refusals import refusal_for
from gateway.core.wire import Draft
from gateway.core.wording import amount_words, instant_words, limit_words


class Verdict(StrEnum):
    """What one rule said."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    REFUSE = "refuse"
    SHADOW = "shadow"
    """It would refuse, but only reports."""
    SKIP = "skip"
    """It does not apply."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule consulted: `rule` names it (`model`, `payload.durationSeconds`, `price`, `limit.money`), `text` why."""

    rule: str
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The whole of it. `refusal` is None when the draft may be reserved; then `claims` is what to take.

    `price` in micro-USD (0 where it is unknown and nobody minds), `price_text` how it was reached, `seconds` of video
    asked for.
    """

    steps: tuple[Step, ...]
    refusal: Refusal | None
    price: int = 0
    price_text: str = ""
    seconds: int = 0
    claims: tuple[Claim, ...] = ()

    @property
    def is_priced(self) -> bool:
        """Whether a price was reached: not where nobody states one, nor where an earlier rule refused."""
        return any(step.rule == "price" and step.verdict is Verdict.PASS for step in self.steps)


def decide(policy: PolicySet, caller: Caller, draft: Draft, detail: ModelDetail | None, now: float) -> Decision:
    """Whether the draft may be reserved, what it costs and claims, and why. `detail` is None where it is not known."""
    steps: list[Step] = []
    try:
        steps.append(_check_scope(caller))
        steps.append(_check_model(caller, draft.model))
        steps.extend(_check_payload(caller, draft, detail))
        with _by("price"):
            quoted = quote(policy, draft.model, draft.payload, detail)
        seconds = _count_seconds(caller, draft, quoted)
        steps.append(_check_price(policy, caller, quoted))
    except _Refused as refused:
        return Decision((*steps, refused.step), refused.refusal)
    price = quoted.amount or 0
    claims = claims_for(caller, draft.model, price, seconds, now)
    steps.extend(_limit_steps(caller, draft.model, claims, now))
    return Decision(tuple(steps), None, price, quoted.text, seconds, claims)


class _Refused(Exception):  # noqa: N818 - the end of a decision
    """One rule refuses: `step` says which, and in the refusal's own words why."""

    def __init__(self, rule: str, refusal: Refusal) -> None:
        super().__init__(rule)
        self.step = Step(rule, Verdict.REFUSE, refusal.message)
        self.refusal = refusal


@contextmanager
def _by(rule: str) -> Iterator[None]:
    """What refuses within, refuses by this rule."""
    try:
        yield
    except Refusal as refusal:
        raise _Refused(rule, refusal) from refusal


def _check_scope(caller: Caller) -> Step:
    with _by("scope"):
        check_scope(caller.key, Scope.JOBS)
    return Step("scope", Verdict.PASS, f"The key {caller.key.name!r} may create jobs.")


def _check_model(caller: Caller, model: str) -> Step:
    allowed, text = may_use(caller.team, model)
    if not allowed:
        raise _Refused("model", Refusal(Code.MODEL_NOT_ALLOWED, text))
    return Step("model", Verdict.PASS, text)


def _check_payload(caller: Caller, draft: Draft, detail: ModelDetail | None) -> Iterator[Step]:
    rules = rules_for(caller.team, draft.model)
    with _by("payload"):
        check_spelling(draft.payload, (rule.name for rule in rules))
    for rule in rules:
        with _by(f"payload.{rule.name}"):
            check_rule(draft.payload, rule)
        yield _kept(rule, given=draft.payload.gives(rule.name))
    with _by("payload"):
        check_required(draft.payload, detail)
    known = "has every parameter the model requires" if detail is not None else "is judged by the team's rules alone"
    yield Step("payload", Verdict.PASS, f"The payload {known}.")


def _kept(rule: ParameterRule, *, given: bool) -> Step:
    """A rule that is kept; one about a parameter that is not given says nothing of the model's default."""
    if given or rule.forbidden:
        return Step(f"payload.{rule.name}", Verdict.PASS, f"`{rule.name}` keeps the team's rule.")
    text = f"`{rule.name}` is not given; the rule does not look at the model's default."
    return Step(f"payload.{rule.name}", Verdict.SKIP, text)


def _check_price(policy: PolicySet, caller: Caller, quoted: Quote) -> Step:
    """An unknown price stops a team that has a budget: priced 0, it would be a hole in it."""
    if quoted.amount is not None:
        return Step("price", Verdict.PASS, f"It costs {quoted.text}.")
    if caller.team.has_budget and policy.unpriced is Unpriced.REFUSE:
        text = f"The price is unknown ({quoted.text}) and team {caller.team.name} has a budget"
        raise _Refused("price", Refusal(Code.PRICE_UNKNOWN, f"{text}; ask your platform team to add a price."))
    return Step("price", Verdict.SKIP, f"The price is unknown ({quoted.text}); it counts as 0.")


def _count_seconds(caller: Caller, draft: Draft, quoted: Quote) -> int:
    """The seconds of video to count; a team that limits them must say them readably."""
    if quoted.unread is None:
        return quoted.seconds
    for limit in caller.team.limits:
        if limit.unit is Unit.SECONDS and limit.mode is Mode.ENFORCE and applies_to(limit, draft.model):
            with _by(_step_rule(limit)):
                raise quoted.unread
    return quoted.seconds


def _limit_steps(caller: Caller, model: str, claims: tuple[Claim, ...], now: float) -> Iterator[Step]:
    """One step for each limit on what jobs take."""
    taking = {bound.limit.name: claim for claim in claims for bound in claim.bounds}
    for limit in caller.team.limits:
        if limit.unit not in (Unit.JOBS, Unit.SECONDS, Unit.USD):
            continue
        claim, words = taking.get(limit.name), limit_words(limit, limit.ceiling(now))
        if claim is not None:
            text = f"Takes {amount_words(claim.amount, limit.unit)} of {words}."
        elif not applies_to(limit, model):
            text = f"{words} is for {', '.join(limit.models)} alone."
        else:
            text = f"Takes nothing of {words}."
        yield Step(_step_rule(limit), Verdict.SKIP if claim is None else Verdict.PASS, text)


def _step_rule(limit: Limit) -> str:
    return f"limit.{limit.name}"


def describe_limits(decision: Decision, caller: Caller, used: Mapping[str, int], now: float) -> Decision:
    """The decision as it would come out with these counters, `used` by counter: each limit says how full it is.

    Nothing is taken; the first claim that does not fit, in the ledger's order, becomes the refusal.
    """
    refusal = decision.refusal
    for claim in decision.claims:
        before = used.get(claim.counter, 0)
        if refusal is None and claim.ceiling is not None and before + claim.amount > claim.ceiling:
            refusal = refusal_for(claim, before, caller, now, "")
        decision = describe_claim(decision, claim, before, caller)
    return replace(decision, refusal=refusal)


def describe_claim(decision: Decision, claim: Claim, used: int, caller: Caller) -> Decision:
    """The decision whose steps say of the limits behind this claim how full they are."""
    described = {_step_rule(bound.limit): _describe(bound, claim, used, caller.team.timezone) for bound in claim.bounds}
    return replace(decision, steps=tuple(described.get(step.rule, step) for step in decision.steps))


def _describe(bound: Bound, claim: Claim, used: int, timezone: str) -> Step:
    limit, left = bound.limit, max(0, bound.ceiling - used)
    verdict = Verdict.PASS
    if used + claim.amount > bound.ceiling:
        verdict = Verdict.SHADOW if limit.mode is Mode.SHADOW else Verdict.REFUSE
    resets = "" if claim.window_ends is None else f", resets {instant_words(claim.window_ends, timezone)}"
    words = f"{amount_words(used, limit.unit)} of {limit_words(limit, bound.ceiling)} used"
    text = f"Takes {amount_words(claim.amount, limit.unit)}: {words}, {amount_words(left, limit.unit)} left{resets}."
    return Step(_step_rule(limit), verdict, text)
