"""Deliveries as values: found, tried, and listed. Times are unix seconds."""

from dataclasses import dataclass
from typing import Any

from gateway.core.addresses import Target
from gateway.core.webhooks import Standing
from gateway.core.wording import rfc3339

PREFIX = "msg_"
"""What the id of a delivery begins with."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that may be tried now, as it was when it was found."""

    id: str
    team: str
    host: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery to try. `attempts` counts this one in; `due_at` is since when it is tried, `body` what is sent."""

    id: str
    team: str
    target: Target
    attempts: int
    due_at: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt: the status answered, or why there was none, and when to try again, if ever."""

    standing: Standing
    status: int | None
    problem: str | None
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many deliveries are due, those that wait for their next attempt included; since when the first has been."""

    count: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that is about no job. One of each `kind` and `event` is told, whoever else notices it."""

    kind: str
    event: str
    team: str
    target: Target
    body: bytes


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """One row of the list of deliveries, without the URL's path and query, which may hold a secret of the team's.

    `status` and `problem` are the last attempt's.
    """

    id: str
    kind: str
    team: str
    request_id: str | None
    host: str
    standing: Standing
    attempts: int
    status: int | None
    problem: str | None
    created_at: float
    due_at: float | None
    next_attempt_at: float | None
    ended_at: float | None

    def facts(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "id": self.id,
            "kind": self.kind,
            "team": self.team,
            "request_id": self.request_id,
            "host": self.host,
            "state": self.standing.value,
            "attempts": self.attempts,
            "status": self.status,
            "problem": self.problem,
            "created_at": _instant(self.created_at),
            "due_at": _instant(self.due_at),
            "next_attempt_at": _instant(self.next_attempt_at),
            "ended_at": _instant(self.ended_at),
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries to list: None is any."""

    team: str | None = None
    standing: Standing | None = None
    request_id: str | None = None
    limit: int = 50
    offset: int = 0
    ids: tuple[str, ...] | None = None


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
