"""What `explain` says is what a create then does: random policies, random payloads, one ledger.

The number of policies is `EXAMPLES`, 1000 for the whole proof; each gets a series of creates that fill its limits.
"""

import asyncio
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.core.decide import Decision, Verdict, decide, describe_limits
from gateway.core.detail import ModelDetail, Parameter, PriceInfo
from gateway.core.errors import Refusal
from gateway.core.policy import (
    Caller,
    Key,
    Limit,
    Mode,
    ParameterRule,
    PayloadRule,
    Per,
    Period,
    PolicySet,
    Price,
    Scope,
    Team,
    Unit,
    Unpriced,
)
from gateway.core.refusals import refusal_for
from gateway.core.wire import Draft, parse_create
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Admitted, Full, NewReservation
from tests.core.worlds import NOON

EXAMPLES = int(os.environ.get("EXAMPLES", "60"))

NAMES = itertools.count()
MODELS = ("Veo3", "Veo3-Fast", "Kling-V2", "seedream-5")
GLOBS = st.lists(st.sampled_from(("*", "Veo3*", "Veo3", "Kling-*", "?eedream-5")), unique=True, max_size=2).map(tuple)
SECONDS = Parameter("duration", "integer", default=5, minimum=1, maximum=60)
VALUES: st.SearchStrategy[Any] = st.sampled_from((1, 8, "8", 8.5, 8, 5, 1, None, 0, "08", True, "text", [], -1, 10**12))

SCALES = {Unit.JOBS: 1, Unit.SECONDS: 8, Unit.USD: 1_000_000}
LIMITS = st.builds(
    Limit,
    name=st.just(""),
    amount=st.sampled_from((1, 2, 3, 6, 0)),
    unit=st.sampled_from((Unit.JOBS, Unit.SECONDS, Unit.USD)),
    period=st.sampled_from((Period.HOUR, Period.DAY, Period.MONTH, Period.AT_ONCE)),
    models=GLOBS,
    per_key=st.booleans(),
    mode=st.sampled_from((Mode.ENFORCE, Mode.ENFORCE, Mode.SHADOW)),
)
RULES = st.builds(
    PayloadRule,
    models=GLOBS,
    parameters=st.lists(
        st.builds(
            ParameterRule,
            name=st.sampled_from(("duration", "prompt", "Seed")),
            required=st.booleans(),
            forbidden=st.booleans(),
            maximum=st.sampled_from((None, 8)),
            max_length=st.sampled_from((None, 3)),
        ),
        max_size=2,
    ).map(tuple),
)
PRICES = st.builds(
    Price,
    models=GLOBS,
    amount=st.integers(0, 900_000),
    per=st.sampled_from((Per.JOB, Per.SECOND, Per.IMAGE)),
    quantity_field=st.sampled_from((None, "duration")),
    default_quantity=st.sampled_from((None, 5)),
    when=st.sampled_from(({}, {"seed": 1})),
)
DETAILS = st.sampled_from(
    (
        None,
        ModelDetail("Veo3", (SECONDS, Parameter("prompt", "string", required=True)), PriceInfo(300_000, "second")),
        ModelDetail("Veo3", (), PriceInfo(0, "request")),
    )
)
NAMED = st.sampled_from(("duration", "duration", "duration", "prompt", "prompt", "seed", "SEED", "Duration"))
PAYLOADS = st.dictionaries(NAMED, VALUES, max_size=2)
CREATES = st.lists(st.tuples(st.sampled_from(MODELS), PAYLOADS, DETAILS), min_size=1, max_size=8)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[PolicySet, Caller]:
    """One team that nobody had before, its policy, and the key it calls with."""
    limits = draw(st.lists(LIMITS, min_size=1, max_size=4))
    sized = (
        dataclasses.replace(limit, name=f"l{number}", amount=limit.amount * SCALES[limit.unit])
        for number, limit in enumerate(limits)
        if limit.period is not Period.AT_ONCE or limit.unit is Unit.JOBS
    )
    scopes = draw(st.sampled_from((*[frozenset(Scope)] * 8, frozenset((Scope.JOBS_READ,)))))
    key = Key("web", "0" * 64, scopes=scopes)
    team = Team(
        f"t{next(NAMES)}",
        timezone=draw(st.sampled_from(("UTC", "Asia/Kathmandu"))),
        keys=(key,),
        allow=draw(st.sampled_from((*[("*",)] * 5, ("Veo3*",), ()))),
        deny=draw(st.sampled_from((*[()] * 5, ("Kling-*",)))),
        limits=tuple(sized),
        payload=tuple(draw(st.sampled_from(([], [], [RULES])).flatmap(lambda rules: st.tuples(*rules)))),
    )
    prices = tuple(draw(st.lists(PRICES, min_size=1, max_size=2)))
    policy = PolicySet({team.name: team}, {}, prices, draw(st.sampled_from(Unpriced)))
    return policy, Caller(team, key)


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Ledger]]:
    """A loop and a ledger for all examples; when they are done, every counter is right."""
    file: Path = tmp_path_factory.mktemp("ledger") / "gateway.db"
    with asyncio.Runner() as runner:
        ledger = Ledger(f"sqlite:///{file}")
        runner.run(ledger.open())
        yield runner, ledger
        assert runner.run(ledger.verify()) == []
        runner.run(ledger.close())


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), creates=CREATES)
def test_what_explain_says_is_what_create_then_does(
    proven: tuple[asyncio.Runner, Ledger], world: tuple[PolicySet, Caller], creates: list[tuple[str, Any, Any]]
) -> None:
    runner, ledger = proven
    runner.run(compare(ledger, *world, creates))


async def compare(ledger: Ledger, policy: PolicySet, caller: Caller, creates: list[tuple[str, Any, Any]]) -> None:
    """Explain each create, then carry it out as admission does, up to the call to upstream."""
    for number, (model, payload, detail) in enumerate(creates):
        now = NOON + number
        draft = parse_create(json.dumps({"model": model, "payload": payload}).encode())
        decision = decide(policy, caller, draft, detail, now)
        counters = [claim.counter for claim in decision.claims]
        before = await ledger.used(counters)
        explained = describe_limits(decision, caller, before, now)
        refusal = decision.refusal or await reserve(ledger, caller, draft, decision, now)
        event("allowed" if refusal is None else refusal.code)
        assert (refusal is None) is (explained.refusal is None)
        refused_by = [step for step in explained.steps if step.verdict is Verdict.REFUSE]
        assert bool(refused_by) is (refusal is not None)
        after = await ledger.used(counters)
        taken = {claim.counter: claim.amount if refusal is None else 0 for claim in decision.claims}
        assert {counter: after[counter] - before[counter] for counter in counters} == taken
        if refusal is not None and explained.refusal is not None:
            assert same(refusal) == same(explained.refusal)


def same(refusal: Refusal) -> tuple[Any, ...]:
    """All of a refusal that both must agree on: not when exactly to come back, which is spread."""
    return refusal.code, refusal.message, refusal.status, refusal.quota, refusal.siblings


async def reserve(ledger: Ledger, caller: Caller, draft: Draft, decision: Decision, now: float) -> Refusal | None:
    """The reservation of a create that the policy lets through, in the ledger; its refusal where a limit is full."""
    new = NewReservation(
        id=f"{caller.team.name}-{now}",
        team=caller.team.name,
        key=caller.key.name,
        model=draft.model,
        credential="default",
        price=decision.price,
        seconds=decision.seconds,
        charge_failed=False,
        claims=decision.claims,
        body_digest=hashlib.sha256(draft.body).digest(),
        payload_digest=b"",
        idempotency_key=None,
        created_at=now,
        repeats_for=0.0,
    )
    result = await ledger.reserve(new, now)
    if isinstance(result, Full):
        return refusal_for(result.claim, result.used, caller, now, new.id)
    assert isinstance(result, Admitted)
    return None
