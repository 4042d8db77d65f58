"""Where a window's use will end if it goes on as it has since the window began."""

from fractions import Fraction

from gateway.core.windows import Window

EARLY = Fraction(1, 100)
"""The part of a window that must be over before its pace says anything."""


def at_this_pace(used: int, window: Window, now: float) -> int | None:
    """What will be used when the window ends; None while too little of the window is over to tell."""
    over = _part_over(window, now)
    return None if over < EARLY else round(used / over)


def full_at(used: int, ceiling: int, window: Window, now: float) -> float | None:
    """The instant at which the ceiling is reached at this pace; None if not within the window, or too early to tell."""
    expected = at_this_pace(used, window, now)
    if expected is None or expected <= ceiling or used >= ceiling:
        return None
    return window.starts + (now - window.starts) * ceiling / used


def _part_over(window: Window, now: float) -> Fraction:
    return Fraction(now - window.starts) / Fraction(window.ends - window.starts)
