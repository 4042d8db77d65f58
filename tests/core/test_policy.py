from dataclasses import replace

import pytest

from gateway.core.policy import Caller, Key, Limit, Mode, Override, Period, PolicySet, Source, Team, Unit
from tests.core.worlds import NOON, limit

MONEY = limit(1, Unit.USD, Period.MONTH)


@pytest.mark.parametrize(("now", "amount"), [(NOON - 1, 900), (NOON, 700), (NOON + 9, 700), (NOON + 10, 500)])
def test_the_first_override_not_yet_over_is_in_force(now: float, amount: int) -> None:
    overrides = (Override(900, NOON, "launch week"), Override(700, NOON + 10, "after it"))
    assert replace(MONEY, amount=500, overrides=overrides).ceiling(now) == amount


@pytest.mark.parametrize(
    ("limits", "budget"),
    [((), False), ((limit(1),), False), ((MONEY,), True), ((replace(MONEY, mode=Mode.SHADOW),), False)],
)
def test_a_budget_is_a_limit_of_money_that_refuses(limits: tuple[Limit, ...], *, budget: bool) -> None:
    assert Team("a", limits=limits).has_budget is budget


def test_request_limits_are_those_of_requests() -> None:
    rate = limit(600, Unit.REQUESTS, Period.MINUTE)
    assert Team("a", limits=(limit(1), rate, MONEY)).request_limits == (rate,)


def test_callers_are_found_by_their_keys_digest() -> None:
    web, batch = Key("web", "1" * 64), Key("batch", "2" * 64)
    one, other = Team("one", keys=(web,)), Team("other", keys=(batch,))
    policy = PolicySet({"one": one, "other": other}, {})
    assert policy.callers == {web.digest: Caller(one, web), batch.digest: Caller(other, batch)}
    assert policy.callers[web.digest] is policy.callers[web.digest]


def test_callers_are_known_before_the_first_of_them_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Key("web", "1" * 64)
    policy = PolicySet({"one": Team("one", keys=(key,))}, {})
    monkeypatch.delattr("gateway.core.policy.Caller")
    assert policy.callers[key.digest].key is key


@pytest.mark.parametrize(("expires", "expired"), [(None, False), (NOON + 1, False), (NOON, True), (NOON - 1, True)])
def test_a_key_is_refused_from_the_instant_of_its_expiry_on(expires: float | None, *, expired: bool) -> None:
    assert Key("web", "", expires).has_expired(NOON) is expired


def test_se1_a_source_does_not_show_what_it_names() -> None:
    assert "secret" not in repr(Source("text", "secret"))
