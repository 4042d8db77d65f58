from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import payload as payload_rules
from gateway.core import wire
from gateway.core.decide import Decision, Step, Verdict, decide, describe_limits
from gateway.core.detail import ModelDetail, Parameter, PriceInfo
from gateway.core.errors import Code
from gateway.core.policy import (
    Caller,
    Key,
    Limit,
    Mode,
    ParameterRule,
    PayloadRule,
    Per,
    Period,
    Price,
    Scope,
    Unit,
    Unpriced,
)
from gateway.core.strict_json import MOST_VALUES
from gateway.core.wire import Payload, fold_name
from tests.core.worlds import NOON, caller_with, draft, limit, policies
from tests.quickly import quickly

UNPRICED = "the policy states none for Veo3, and upstream's could not be had: see if GET …/models lists it"
VEO = Price(("Veo3*",), 400_000, Per.SECOND, "durationSeconds", 8)
MONEY = limit(10_000_000, Unit.USD, Period.MONTH, "money")
SECONDS = limit(60, Unit.SECONDS)


def ruled(caller: Caller, *rules: ParameterRule) -> Caller:
    return replace(caller, team=replace(caller.team, payload=(PayloadRule(("Veo3*",), rules),)))


def decided(caller: Caller, payload: dict[str, Any] | None = None, *prices: Price, model: str = "Veo3") -> Decision:
    return decide(policies(caller, *prices), caller, draft(payload, model), None, NOON)


def refused(decision: Decision) -> tuple[Code, str, str]:
    """The code, the rule that refused, and its words; the last step says what the refusal says."""
    assert decision.refusal is not None
    last = decision.steps[-1]
    assert (last.verdict, last.text) == (Verdict.REFUSE, decision.refusal.message)
    assert (decision.claims, decision.price) == ((), 0)
    return decision.refusal.code, last.rule, last.text


def test_a_draft_that_may_be_reserved_tells_every_rule() -> None:
    veo_only = replace(limit(20, name="veo"), models=("Veo3-Fast",))
    caller = ruled(
        caller_with(limit(200), veo_only, MONEY, limit(9, Unit.UPLOADS), SECONDS),
        ParameterRule("durationSeconds", maximum=8),
    )
    decision = decided(caller, {"durationSeconds": "5"}, VEO)
    assert decision.refusal is None
    assert (decision.price, decision.seconds) == (2_000_000, 5)
    assert decision.price_text == "5 x 0.40 USD per second = 2.00 USD, by the policy's price for Veo3*"
    assert [claim.amount for claim in decision.claims] == [2_000_000, 1, 5]
    assert decision.steps == (
        Step("scope", Verdict.PASS, "The key 'web' may create jobs."),
        Step("model", Verdict.PASS, "Veo3 is allowed by `Veo3*`."),
        Step("payload.durationSeconds", Verdict.PASS, "`durationSeconds` keeps the team's rule."),
        Step("payload", Verdict.PASS, "The payload is judged by the team's rules alone."),
        Step("price", Verdict.PASS, f"It costs {decision.price_text}."),
        Step("limit.jobs-day", Verdict.PASS, "Takes 1 job of 200 jobs per day."),
        Step("limit.veo", Verdict.SKIP, "20 jobs per day is for Veo3-Fast alone."),
        Step("limit.money", Verdict.PASS, "Takes 2.00 USD of 10.00 USD per month."),
        Step("limit.seconds-day", Verdict.PASS, "Takes 5 seconds of 60 seconds per day."),
    )


def test_a_rule_about_what_is_not_given_does_not_look_at_the_models_default() -> None:
    rules = (ParameterRule("durationSeconds", maximum=6), ParameterRule("seed", forbidden=True))
    for payload in ({}, {"durationSeconds": None}):
        decision = decided(ruled(caller_with(), *rules), payload)
        steps = {step.rule: (step.verdict, step.text) for step in decision.steps}
        assert decision.refusal is None
        assert steps["payload.durationSeconds"] == (
            Verdict.SKIP,
            "`durationSeconds` is not given; the rule does not look at the model's default.",
        )
        assert steps["payload.seed"] == (Verdict.PASS, "`seed` keeps the team's rule.")


def test_a_key_without_the_scope_creates_nothing() -> None:
    caller = caller_with(limit(1), key=Key("reader", "", scopes=frozenset((Scope.JOBS_READ,))))
    assert refused(decided(caller)) == (
        Code.SCOPE_DENIED,
        "scope",
        "The key 'reader' lacks the scope 'jobs'; ask your platform team for one that has it.",
    )


def test_az4_a_model_that_is_not_allowed_is_refused_before_its_payload_is_looked_at() -> None:
    caller = ruled(caller_with(), ParameterRule("a", required=True))
    code, rule, _ = refused(decided(caller, model="veo3"))
    assert (code, rule) == (Code.MODEL_NOT_ALLOWED, "model")


def test_the_rules_before_the_one_that_refuses_are_told() -> None:
    caller = ruled(caller_with(), ParameterRule("a", required=True), ParameterRule("b", maximum=8))
    decision = decided(caller, {"a": 1, "b": 9})
    assert refused(decision) == (Code.PAYLOAD_REJECTED, "payload.b", "`b` must be a number of at most 8.")
    assert [step.rule for step in decision.steps] == ["scope", "model", "payload.a", "payload.b"]


def test_az5_a_ruled_name_in_another_spelling_is_refused() -> None:
    caller = ruled(caller_with(), ParameterRule("durationSeconds", maximum=8))
    code, rule, text = refused(decided(caller, {"durationseconds": 60}))
    assert (code, rule) == (Code.PAYLOAD_REJECTED, "payload")
    assert text == "`durationseconds` must be written `durationSeconds`."


def test_the_models_own_requirements_are_checked() -> None:
    detail = ModelDetail("Veo3", (Parameter("prompt", "string", True),))
    caller = caller_with()
    missing = decide(policies(caller), caller, draft({}), detail, NOON)
    assert refused(missing) == (Code.PAYLOAD_REJECTED, "payload", "`prompt` is missing: the model requires it.")
    given = decide(policies(caller), caller, draft({"prompt": "a"}), detail, NOON)
    assert given.refusal is None
    assert Step("payload", Verdict.PASS, "The payload has every parameter the model requires.") in given.steps


def test_bu3_a_team_with_a_budget_gets_nothing_without_a_price() -> None:
    assert refused(decided(caller_with(MONEY))) == (
        Code.PRICE_UNKNOWN,
        "price",
        (f"The price is unknown ({UNPRICED}) and team marketing has a budget; ask your platform team to add a price."),
    )


def test_an_unknown_price_counts_as_nothing_where_policy_says_free() -> None:
    caller = caller_with(MONEY)
    decision = decide(policies(caller, unpriced=Unpriced.FREE), caller, draft(), None, NOON)
    assert (decision.refusal, decision.price, decision.claims) == (None, 0, ())
    assert decision.steps[-2:] == (
        Step(
            "price",
            Verdict.SKIP,
            f"The price is unknown ({UNPRICED}); it counts as 0.",
        ),
        Step("limit.money", Verdict.SKIP, "Takes nothing of 10.00 USD per month."),
    )


@pytest.mark.parametrize("limits", [(), (replace(MONEY, mode=Mode.SHADOW),)])
def test_an_unknown_price_stops_nobody_without_a_budget_that_refuses(limits: tuple[Limit, ...]) -> None:
    assert decided(caller_with(*limits)).refusal is None


def test_the_models_own_price_is_charged() -> None:
    caller = caller_with(MONEY)
    detail = ModelDetail("Veo3", (Parameter("duration", "integer"),), PriceInfo(152_000, "second"))
    decision = decide(policies(caller), caller, draft({"duration": 5}), detail, NOON)
    assert (decision.refusal, decision.price, decision.seconds) == (None, 760_000, 5)


def test_bo8_a_priced_parameter_that_is_no_quantity_is_refused() -> None:
    code, rule, _ = refused(decided(caller_with(MONEY), {"durationSeconds": "8s"}, VEO))
    assert (code, rule) == (Code.PAYLOAD_REJECTED, "price")


def test_what_is_too_dear_is_refused_for_its_price() -> None:
    dear = Price(("*",), 900_000_000_000_000, Per.SECOND, "durationSeconds")
    code, rule, text = refused(decided(caller_with(MONEY), {"durationSeconds": 2}, dear))
    assert (code, rule) == (Code.PAYLOAD_REJECTED, "price")
    assert text == "This would cost more than one billion dollars; ask for less."


JOB = Price(("*",), 280_000, Per.JOB)


@pytest.mark.parametrize("payload", [{"duration": "8s"}, {"Duration": 8}, {"duration": -1}])
def test_seconds_that_cannot_be_read_are_refused_where_they_are_limited(payload: dict[str, Any]) -> None:
    decision = decided(caller_with(limit(1), SECONDS), payload, JOB)
    code, rule, _ = refused(decision)
    assert (code, rule) == (Code.PAYLOAD_REJECTED, "limit.seconds-day")
    assert decision.refusal is not None
    assert decision.refusal.siblings["parameter"] in payload


def test_seconds_nobody_knows_are_refused_where_they_are_limited() -> None:
    assert refused(decided(caller_with(SECONDS), {"prompt": "a"})) == (
        Code.PAYLOAD_REJECTED,
        "limit.seconds-day",
        "`durationSeconds` must say how many seconds of video this is: a limit depends on it.",
    )
    assert decided(caller_with(SECONDS), {"prompt": "a"}, JOB).refusal is None


def test_az5_a_job_cannot_be_had_for_a_made_up_length() -> None:
    length = Parameter("durationSeconds", "integer", default=8)
    detail = ModelDetail("Veo3", (length,), PriceInfo(400_000, "second"))
    caller = caller_with(MONEY)
    decision = decide(policies(caller), caller, draft({"seconds": 0.000001}), detail, NOON)
    assert refused(decision) == (
        Code.PAYLOAD_REJECTED,
        "price",
        "`seconds` is no parameter of Veo3; it takes `durationSeconds`.",
    )


@pytest.mark.parametrize(
    "other",
    [limit(1), replace(SECONDS, mode=Mode.SHADOW), replace(SECONDS, models=("Veo3-Fast",))],
    ids=["jobs", "shadow", "other-model"],
)
def test_seconds_that_cannot_be_read_matter_to_nobody_else(other: Limit) -> None:
    decision = decided(caller_with(other), {"duration": "8s"}, JOB)
    assert (decision.refusal, decision.seconds) == (None, 0)


def described(*limits: Limit, used: int, payload: dict[str, Any] | None = None) -> Decision:
    caller = caller_with(*limits)
    decision = decided(caller, payload or {"durationSeconds": 5}, VEO)
    counters = {claim.counter: used for claim in decision.claims}
    return describe_limits(decision, caller, counters, NOON)


def test_limits_are_described_by_how_full_they_are() -> None:
    decision = described(limit(200), limit(5, period=Period.AT_ONCE), used=4)
    assert decision.refusal is None
    assert decision.steps[-2:] == (
        Step(
            "limit.jobs-day",
            Verdict.PASS,
            "Takes 1 job: 4 jobs of 200 jobs per day used, 196 jobs left, resets 2026-11-24 00:00 UTC.",
        ),
        Step("limit.jobs-at-once", Verdict.PASS, "Takes 1 job: 4 jobs of 5 jobs at once used, 1 job left."),
    )


def test_a_counter_nobody_used_is_empty() -> None:
    caller = caller_with(limit(200))
    decision = describe_limits(decided(caller), caller, {}, NOON)
    assert "0 jobs of 200 jobs per day used" in decision.steps[-1].text


def test_qu4_a_full_limit_becomes_the_refusal_and_the_others_still_speak() -> None:
    decision = described(limit(200), limit(5, period=Period.AT_ONCE), MONEY, used=5)
    assert decision.refusal is not None
    assert decision.refusal.code is Code.CONCURRENCY_EXCEEDED
    assert [(step.rule, step.verdict) for step in decision.steps[-3:]] == [
        ("limit.jobs-day", Verdict.PASS),
        ("limit.jobs-at-once", Verdict.REFUSE),
        ("limit.money", Verdict.PASS),
    ]


def test_the_first_full_claim_in_the_ledgers_order_is_the_refusal() -> None:
    decision = described(limit(5), limit(1_000_000, Unit.USD, Period.MONTH, "money"), used=5)
    assert decision.refusal is not None
    assert decision.refusal.code is Code.BUDGET_EXCEEDED
    assert [step.verdict for step in decision.steps[-2:]] == [Verdict.REFUSE, Verdict.REFUSE]


def test_a_full_shadow_limit_reports_and_lets_pass() -> None:
    decision = described(replace(limit(5), mode=Mode.SHADOW), used=9)
    assert decision.refusal is None
    assert decision.steps[-1].verdict is Verdict.SHADOW


def test_a_decision_that_was_refused_stays_as_it_is() -> None:
    caller = caller_with(MONEY)
    decision = decided(caller)
    assert describe_limits(decision, caller, {}, NOON) == decision


rules = st.lists(
    st.builds(
        ParameterRule,
        name=st.sampled_from(["a", "b"]),
        required=st.booleans(),
        forbidden=st.booleans(),
        one_of=st.sampled_from([(), (1,), ("x", 2)]),
        minimum=st.none() | st.integers(0, 3),
        max_length=st.none() | st.integers(0, 3),
    ),
    max_size=3,
)
payloads: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["a", "b", "A"]), st.sampled_from([None, 1, "1", "x", "long", [], True])
)


@given(rules, rules, payloads)
def test_monotone_adding_a_rule_never_admits_what_was_refused(
    before: list[ParameterRule], more: list[ParameterRule], payload: dict[str, Any]
) -> None:
    refused_before = decided(ruled(caller_with(), *before), payload).refusal is not None
    refused_after = decided(ruled(caller_with(), *before, *more), payload).refusal is not None
    assert refused_after or not refused_before


def test_bo5_names_are_folded_once_however_many_rules_and_prices_look_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[str] = []

    def fold(name: str) -> str:
        folded.append(name)
        return fold_name(name)

    monkeypatch.setattr(payload_rules, "fold_name", fold)
    monkeypatch.setattr(wire, "fold_name", fold)
    prices = [replace(VEO, when={"resolution": f"{number}p"}) for number in range(8)]
    caller = ruled(caller_with(SECONDS), ParameterRule("durationSeconds", maximum=8))
    names = [f"{'ß' * 1000}{number}" for number in range(500)]
    decision = decided(caller, dict.fromkeys(names, 1) | {"durationSeconds": 5, "resolution": "7p"}, *prices)
    assert decision.price == 2_000_000
    assert [name for name in folded if name in names] == names
    assert len(folded) < len(names) + 30


def test_bo5_the_most_and_longest_names_are_decided_at_once() -> None:
    payload = Payload({f"{'ß' * 1000}{number}": 1 for number in range(MOST_VALUES)})
    made = replace(draft({}), payload=payload)
    caller = ruled(caller_with(SECONDS), ParameterRule("durationSeconds", maximum=8))
    prices = [replace(VEO, when={"resolution": f"{number}p"}) for number in range(8)]
    quickly(lambda: decide(policies(caller, *prices), caller, made, None, NOON), within=0.05)
