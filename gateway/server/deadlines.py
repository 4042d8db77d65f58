"""How long a client may take, reckoned from byte counts. Times are seconds of the event loop's clock, passed in."""

NEVER = float("inf")


class BodyPace:
    """The time a request body has left: credit that runs down with the clock and is earned back by bytes.

    A minimum average rate alone would let a client send a megabyte at once and then stall for its worth of time;
    so the credit never exceeds what it started with.
    """

    __slots__ = ("_counted", "_credit", "_rate", "received")

    def __init__(self, credit_seconds: float, bytes_per_second: float) -> None:
        self._credit = credit_seconds
        self._rate = bytes_per_second
        self._counted = 0
        self.received = 0
        """Body bytes so far; the connection adds to it."""

    def deadline(self, before: float, now: float, *, waits_for_us: bool) -> float:
        """The deadline that follows the one before. It does not run while the client `waits_for_us`."""
        earned = (self.received - self._counted) / self._rate
        self._counted = self.received
        full = now + self._credit
        return full if waits_for_us else min(full, before + earned)


class WriteWatch:
    """Tells a client that takes nothing of what is written for it from one that is only slow."""

    __slots__ = ("_deadline", "_patience", "_unsent")

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self.restart()

    def restart(self) -> None:
        """Begin to watch anew: writing has just stalled, or the connection has just been closed."""
        self._unsent = -1
        self._deadline = NEVER

    def stalled(self, unsent: int, now: float) -> bool:
        """Whether `unsent`, the bytes waiting to be taken, has stayed the same for too long."""
        if unsent != self._unsent:
            self._unsent = unsent
            self._deadline = now + self._patience
        return now >= self._deadline
