from dataclasses import FrozenInstanceError

import pytest

from gateway.core.claims import Bound, Claim, OnSettle
from tests.core.worlds import limit


def test_a_claim_is_a_value() -> None:
    bounds = (Bound(limit(5), 5),)
    claim = Claim("jobs/a//2026-11-23/", 1, 5, OnSettle.KEEP, bounds, 0.0)
    assert claim == Claim("jobs/a//2026-11-23/", 1, 5, OnSettle.KEEP, bounds, 0.0)
    with pytest.raises(FrozenInstanceError):
        claim.amount = 2  # type: ignore[misc]  # that it cannot be set is the point


def test_what_settlement_does_is_stored_under_these_words() -> None:
    assert [kind.value for kind in OnSettle] == ["keep", "return", "adjust"]
