"""What may be in memory fits into what a container allows, all of it together."""

import pytest

from gateway.budget import LEAST_BODIES, MIB, budget_for


def test_without_a_bound_there_is_room_for_four_of_the_largest_bodies() -> None:
    assert budget_for(None, 1, 32 * MIB).bodies == LEAST_BODIES
    assert budget_for(None, 1, 100 * MIB).bodies == 400 * MIB


@pytest.mark.parametrize("limit", [64, 128, 256, 512, 1024, 4096])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_rs5_everything_fits_into_the_bound_at_its_dearest(limit: int, workers: int) -> None:
    budget = budget_for(limit * MIB, workers, 32 * MIB)
    itself = min(96 * MIB, limit * MIB // workers * 3 // 4)
    kept = budget.records + budget.listings + budget.kept_free
    assert workers * (itself + 6 * budget.bodies + kept) <= limit * MIB


def test_a_large_bound_takes_nothing_away() -> None:
    assert budget_for(64 * 1024 * MIB, 1, 32 * MIB) == budget_for(None, 1, 32 * MIB)
