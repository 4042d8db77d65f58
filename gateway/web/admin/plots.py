"""Plots as geometry: what stands where in a box of 100 by 100. The templates draw it as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 2.5, 5, 10)
GAP = 0.22
"""The part of a column that stays empty."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a column: `series` says whose."""

    series: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its whole width for the pointer, its pieces from below, and what it says."""

    x: float
    width: float
    label: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Columns over a scale from 0 to `top`."""

    columns: tuple[Column, ...]
    top: float

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(column.segments for column in self.columns)


def stack(values: Sequence[Sequence[float]], labels: Sequence[str]) -> Plot:
    """A column per label, made of `values[column][series]`; none is negative."""
    top = round_up(max((sum(column) for column in values), default=0))
    width = 100 / max(1, len(values))
    columns = []
    for number, (column, label) in enumerate(zip(values, labels, strict=True)):
        floor, segments = 100.0, []
        for series, value in enumerate(column):
            if value <= 0:
                continue
            height = 100 * value / top
            floor -= height
            x = number * width + width * GAP / 2
            segments.append(
                Segment(series, round(x, 3), round(floor, 3), round(width * (1 - GAP), 3), round(height, 3))
            )
        columns.append(Column(round(number * width, 3), round(width, 3), label, tuple(segments)))
    return Plot(tuple(columns), top)


def round_up(value: float) -> float:
    """The next round number, for the top of a scale; 1 for nothing."""
    if value <= 0:
        return 1
    magnitude = 1.0
    while magnitude * 10 <= value:
        magnitude *= 10
    while magnitude > value:
        magnitude /= 10
    return next(step * magnitude for step in _STEPS if step * magnitude >= value)
