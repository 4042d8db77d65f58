"""Plots are geometry: columns that fill their box."""

import pytest

from gateway.web.admin.plots import round_up, stack


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.03, 0.05), (0.9, 1), (1, 1), (1.1, 2), (2.2, 2.5), (3, 5), (20.47, 25), (99, 100), (1001, 2000)],
)
def test_a_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_the_pieces_of_a_column_stand_on_each_other() -> None:
    plot = stack([[5, 0, 5], [0, 0, 0]], ["one", "two"])
    first, second = plot.columns
    assert (first.label, second.label, plot.top) == ("one", "two", 10)
    assert [(each.series, each.y, each.height) for each in first.segments] == [(0, 50, 50), (2, 0, 50)]
    assert first.x <= first.segments[0].x < first.segments[0].x + first.segments[0].width < second.x
    assert second.segments == ()
    assert not plot.is_empty


def test_nothing_is_an_empty_plot() -> None:
    assert stack([[], []], ["one", "two"]).is_empty
    assert stack([], []).is_empty
