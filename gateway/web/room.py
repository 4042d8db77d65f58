"""What the gateway takes on at once: calls, and the bytes they hold, in all and of one team.

A call holds its request's body while it lasts and a large answer until the client has taken it. One team gets a part
of the room only: however much it leaves half sent or unread, the rest is there for the others. A call that does
nothing but wait for a job steps aside, and so does one of nobody's whose answer is not taken: it costs a connection
and a few kilobytes, and is bounded elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.errors import Code, Refusal

LEAST_CALLS_OF_TEAM = 50
"""One team may have so many calls under way however small its part of them is, as long as there is room in all."""

TEAMS_SHARE = 1 / 3
"""One team gets this part of the calls that are allowed at once, and of the bytes they may hold."""

READS = 1.25
"""Reads are taken on while no more than this times the calls allowed are under way: most are answered from memory,
while creates wait for upstream."""

WRITES = 1.0
"""All other calls are taken on while no more than this times the calls allowed are under way."""


@dataclass(slots=True)
class Load:
    """Calls under way, those that stand aside, and the bytes all of them hold."""

    calls: int = 0
    aside: int = 0
    held: int = 0


class Room:
    """How much is under way, and whether more may be: at most so many calls, and so many bytes held by them."""

    def __init__(self, calls: int, size: int) -> None:
        self.load = Load()
        self._teams: defaultdict[str, Load] = defaultdict(Load)
        self._calls = calls
        self._calls_of_team = max(LEAST_CALLS_OF_TEAM, int(calls * TEAMS_SHARE))
        self._bytes = size
        self._bytes_of_team = int(self._bytes * TEAMS_SHARE)

    def enter(self) -> None:
        """A call began. Whose it is, is not known yet."""
        self.load.calls += 1

    def join(self, team: str) -> None:
        """The call that began is this team's."""
        self._teams[team].calls += 1

    def leave(self, team: str | None, held: int) -> None:
        """A call ended. It was this team's and held so many bytes; it held none if it was nobody's."""
        self.load.calls -= 1
        if team is not None:
            if held:
                self.let_go(team, held)
            load = self._teams[team]
            load.calls -= 1
            if not load.calls and not load.aside:
                del self._teams[team]

    @contextmanager
    def aside(self, team: str | None = None) -> Iterator[None]:
        """A call of the team, or of nobody, waits, and takes up no room for calls meanwhile.

        What it holds it goes on holding.
        """
        both = (self.load,) if team is None else (self.load, self._teams[team])
        for load in both:
            load.calls -= 1
            load.aside += 1
        try:
            yield
        finally:
            for load in both:
                load.calls += 1
                load.aside -= 1

    def check(self, share: float, team: str | None = None) -> None:
        """Refusal 503 if more calls are under way, in all or of the team, than this share of what is allowed."""
        if self.load.calls > self._calls * share:
            raise Refusal(Code.OVERLOADED, "The gateway has all the work it can do; try again shortly.", retry_after=1)
        if team is not None and self._teams[team].calls > self._calls_of_team * share:
            most = int(self._calls_of_team * share)
            raise Refusal(
                Code.OVERLOADED,
                f"Your team has more than {most} calls under way, its part of GATEWAY_MAX_IN_FLIGHT; try again.",
                retry_after=1,
            )

    def hold(self, team: str, size: int, own: int = 0) -> None:
        """Note that a call of the team, which holds `own` bytes, holds so many more. Refusal 503 if they do not fit.

        What alone is larger than a team's part fits while the team holds nothing else, and what is larger than all
        there is while nobody holds anything else.
        """
        load = self._teams[team]
        others, all_others = load.held - own, self.load.held - own
        is_too_much = all_others and self.load.held + size > self._bytes
        if is_too_much or (others and load.held + size > self._bytes_of_team):
            raise Refusal(
                Code.OVERLOADED, "Bodies and answers under way fill the memory set apart for them.", 1, close=True
            )
        self.load.held += size
        load.held += size

    def let_go(self, team: str, size: int) -> None:
        """A call of the team that goes on holds so many bytes less."""
        self.load.held -= size
        self._teams[team].held -= size
