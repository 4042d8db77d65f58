"""The calls to upstream that are under way for jobs, and what comes of them: one a second for a job, whoever asks."""

import asyncio
from typing import Any

import msgspec

from gateway.core.freshness import LIVE_RECORD_FRESH
from gateway.upstream.client import Answer, UpstreamFailure

MOST_LOOKS = 2
"""Looks at one job that may be under way: one that hangs does not keep the others from their answer."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A job's record as upstream gave it. `asked_at` is when the question left, on the monotonic clock."""

    answer: Answer
    asked_at: float
    terminal: bool
    etag: bytes


class Failed(msgspec.Struct, frozen=True, gc=False):
    """Upstream was asked for a job at `asked_at`, and what came of it cannot be passed on."""

    asked_at: float


class Look(msgspec.Struct, eq=False):
    """A call to upstream under way for one job, begun by `task` at `asked_at` on the monotonic clock.

    Whoever shares it waits for its news. When one that was begun `later` brings the record, this one is broken off for
    it, unless it `is_answered` already. It is `overlapped` when one begun before it was answered meanwhile: then nobody
    knows which of the two tells what is newer.
    """

    asked_at: float
    task: "asyncio.Task[Any]"
    later: Seen | None = None
    is_answered: bool = False
    overlapped: bool = False
    _news: "asyncio.Future[Seen] | None" = None

    @property
    def news(self) -> "asyncio.Future[Seen]":
        """What it will bring; made for the first who waits for it, because mostly nobody does."""
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def tell(self, outcome: Seen | UpstreamFailure | None) -> None:
        """What came of it, to whoever waits. None if whoever made it was broken off."""
        if self._news is None:
            return
        if isinstance(outcome, Seen):
            self._news.set_result(outcome)
        else:
            self._news.set_exception(outcome or UpstreamFailure.broken_off())
            self._news.exception()  # whoever waited may be gone, and that is no fault

    def give_way(self) -> Seen | None:
        """What came of a later one, where this one's task was cancelled for it and for nothing else."""
        return self.later if self.later is not None and not self.task.uncancel() else None

    def hear_of(self, other: "Look", seen: Seen) -> None:
        """Another one of the same job has brought the record."""
        if other.asked_at < self.asked_at:
            self.overlapped = True
        elif not self.is_answered and self.later is None:
            self.later = seen
            self.task.cancel()


class Looks:
    """By job: its calls under way, the one begun last at the end."""

    def __init__(self) -> None:
        self._under_way: dict[str, list[Look]] = {}

    def is_under_way(self, request_id: str) -> bool:
        """Whether upstream is being asked for the job."""
        return request_id in self._under_way

    def to_share(self, request_id: str, ticks: float) -> "asyncio.Future[Seen] | None":
        """What the last call to upstream for the job will bring, if that is to be waited for instead of asking again.

        What was asked a second ago may be older than a record may be: it will do only where no more calls may be made.
        """
        looks = self._under_way.get(request_id)
        if looks is None or (len(looks) < MOST_LOOKS and ticks - looks[-1].asked_at >= LIVE_RECORD_FRESH):
            return None
        return looks[-1].news

    def begin(self, request_id: str, ticks: float) -> Look:
        """A call to upstream is about to be made. Others wait for what it brings until `end` says so."""
        task = asyncio.current_task()
        assert task is not None
        look = Look(ticks, task)
        self._under_way.setdefault(request_id, []).append(look)
        return look

    def end(self, request_id: str, look: Look, outcome: Seen | UpstreamFailure | None) -> None:
        """The call is over, and this came of it; None if whoever made it was broken off."""
        others = [other for other in self._under_way.pop(request_id, ()) if other is not look]
        if others:
            self._under_way[request_id] = others
        look.tell(outcome)
        if others and isinstance(outcome, Seen) and outcome.etag:
            for other in others:
                other.hear_of(look, outcome)

    def forget(self, request_id: str) -> None:
        """Share none of those under way any more: the job was changed since."""
        self._under_way.pop(request_id, None)
