"""Where a month will end, told from its beginning."""

import pytest

from gateway.core.pace import at_this_pace, full_at
from gateway.core.windows import Window

MONTH = Window("2026-11", 1000.0, 2000.0)


@pytest.mark.parametrize(
    ("used", "now", "expected"),
    [(100, 1500.0, 200), (100, 2000.0, 100), (0, 1500.0, 0), (3, 1300.0, 10), (100, 1009.9, None), (1, 1010.0, 100)],
)
def test_a_window_goes_on_as_it_began(used: int, now: float, expected: int | None) -> None:
    assert at_this_pace(used, MONTH, now) == expected


@pytest.mark.parametrize(
    ("used", "ceiling", "now", "instant"),
    [
        (100, 150, 1500.0, 1750.0),
        (100, 200, 1500.0, None),  # just enough
        (100, 100, 1500.0, None),  # full already
        (100, 150, 1005.0, None),  # too early
        (0, 0, 1500.0, None),
    ],
)
def test_a_ceiling_is_reached_before_the_window_ends_or_not(
    used: int, ceiling: int, now: float, instant: float | None
) -> None:
    assert full_at(used, ceiling, MONTH, now) == instant
