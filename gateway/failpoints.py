"""Named points of a create and of a settlement at which a test ends or halts this process.

They prove what a crash at the worst instant leaves behind. Nothing happens at any of them unless the variable below
is set when the process starts: `POINT=ACTION`, several with commas between them.
"""

import os
import signal
import time
from enum import StrEnum

VARIABLE = "GMI_TEST_FAILPOINTS"
"""No setting: what it does to a gateway is never wanted but in a test."""


class Point(StrEnum):
    """Where a process may be broken off: each lies between two steps that something outside can see."""

    ADMITTED = "admitted"
    """The policy said yes; the ledger was not asked."""
    RESERVED = "reserved"
    """Everything is claimed; the create is not marked as sent."""
    MARKED_SENT = "marked-sent"
    """Recovery must take the create for sent; no byte of it was."""
    ANSWERED = "answered"
    """Upstream answered, or the call failed; the ledger does not know (place, release, refuse or doubt follows)."""
    CONCLUDED = "concluded"
    """The ledger knows what came of the create; the client does not."""
    LOOKED = "looked"
    """The job has ended; it is not settled, its slot and perhaps its money are still held."""
    SETTLED = "settled"
    """The job is settled; nobody has been told."""
    TAKING_OVER = "taking-over"
    """A create of a gateway that is gone was found; it is not released or doubted."""
    FOUND = "found"
    """The job of a lost create was found in upstream's list; it is not adopted."""
    GIVEN_UP = "given-up"
    """A lost create was shown to have made no job; it is not released."""


class Action(StrEnum):
    """What happens at a point."""

    KILL = "kill"
    """The process is gone, as by kill -9."""
    STOP = "stop"
    """The process stands still until somebody sends it SIGCONT."""
    SLEEP = "sleep"
    """The process stands still for `PAUSE` seconds."""


PAUSE = 1.0

AT_HAND = 0.5
"""Seconds for what other threads are writing, before a process stands still.

One that is halted within a transaction on a SQLite file keeps the file's only lock, and nobody could take over.
"""


def read_plan(text: str) -> dict[Point, Action]:
    """What is to happen where. Raises ValueError for a point or an action that does not exist."""
    steps = (step.partition("=") for step in text.split(",") if step)
    return {Point(point): Action(action) for point, _, action in steps}


_plan = read_plan(os.environ.get(VARIABLE, ""))


def reach(point: Point) -> None:
    """The process is at this point. What is planned for it happens the first time."""
    if _plan:
        _act(_plan.pop(point, None))


def _act(action: Action | None) -> None:
    match action:
        case Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Action.STOP:
            time.sleep(AT_HAND)
            os.kill(os.getpid(), signal.SIGSTOP)
        case Action.SLEEP:
            time.sleep(PAUSE)
