"""A job's course: planned when it is created, then a pure function of the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["created", "queued", "dispatched", "processing", "success", "failed", "cancelled"]
Course = Literal["waiting", "leaping", "inline"]

TERMINAL: frozenset[Status] = frozenset({"success", "failed", "cancelled"})


@dataclass(frozen=True)
class Step:
    """From the instant `at` on, in unix seconds, a job has this status."""

    at: float
    status: Status


def plan(course: Course, start: float, seconds: float, ending: Status) -> tuple[Step, ...]:
    """The steps of a job created at `start` that takes `seconds` (infinite: it never leaves the queue).

    A waiting job shows every status, a leaping one goes from the queue straight to its end, and an inline
    one is worked on inside the POST that creates it.
    """
    end = Step(start + seconds, ending)
    if course == "inline":
        return (Step(start, "processing"), end)
    waiting = (Step(start, "created"), Step(start + min(1.0, seconds / 20), "queued"))
    if course == "leaping":
        return (*waiting, end)
    return (*waiting, Step(start + seconds / 10, "dispatched"), Step(start + seconds / 6, "processing"), end)


def step_at(steps: Sequence[Step], now: float) -> Step:
    """The latest step reached by now; the first one holds before that."""
    reached = [step for step in steps if step.at <= now]
    return reached[-1] if reached else steps[0]
