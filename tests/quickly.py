"""Bounds on processor time that mean the same on a slow machine."""

import gc
from collections.abc import Callable
from time import thread_time
from typing import TypeVar

T = TypeVar("T")

COUNTED = 200_000
REFERENCE = 0.009
"""Seconds in which the machine that the bounds are meant for counts so far."""


def quickly(action: Callable[[], T], *, within: float) -> T:
    """What the action returns. One of some tries must take no longer than `within` seconds of this thread's time.

    A machine that counts more slowly than the reference gets as much longer, measured beside each try.
    """
    gc.collect()  # what other tests left behind is not the action's to clean up
    took: list[float] = []
    while not took or (min(took) > within and len(took) < 20):
        slowness = max(1, _seconds(_count)[1] / REFERENCE)
        result, seconds = _seconds(action)
        took.append(seconds / slowness)
    assert min(took) <= within
    return result


def _seconds(action: Callable[[], T]) -> tuple[T, float]:
    began = thread_time()
    result = action()
    return result, thread_time() - began


def _count() -> None:
    number = 0
    while number < COUNTED:
        number += 1
