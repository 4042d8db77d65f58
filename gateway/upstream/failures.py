"""What went wrong between the gateway and upstream, and whether upstream may have acted on it."""

from enum import StrEnum

import httpx

from gateway.core.errors import Code, Refusal
from gateway.core.retry import Reason


class Sent(StrEnum):
    """How far a failed call got. It decides whether a create's reservation is released or in doubt."""

    NEVER = "never"
    """No byte of the request reached upstream."""
    MAYBE = "maybe"
    """Upstream may have read the request; what came of it is unknown."""
    ANSWERED = "answered"
    """Upstream read the request and answered, but the answer cannot be used."""


class UpstreamFailure(Exception):  # noqa: N818 - the flows speak of failures
    """A call to upstream brought no answer that may be passed on. The message is fit for clients."""

    def __init__(self, sent: Sent, code: Code, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.sent = sent
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def invalid(cls, what: str) -> "UpstreamFailure":
        """Upstream answered with something that cannot be trusted: `what` says so, without a full stop."""
        return cls(Sent.ANSWERED, Code.UPSTREAM_INVALID, f"{what}; {_REPORT}")

    @classmethod
    def refused(cls, status: int) -> "UpstreamFailure":
        """Upstream answered 401 or 403 to every key of a credential: the second may be about its organisation."""
        what = "the gateway's own key or its organisation (403)" if status == 403 else "the gateway's own key"
        message = f"Upstream refuses {what}; your platform team has to replace it."
        return cls(Sent.ANSWERED, Code.UPSTREAM_CREDENTIALS_REJECTED, message)

    @classmethod
    def broken_off(cls) -> "UpstreamFailure":
        """The call was given up before there was an answer."""
        return cls(Sent.MAYBE, Code.UPSTREAM_UNREACHABLE, _BROKEN_OFF)

    @property
    def was_asked(self) -> bool:
        """Whether the call met upstream, and not a circuit that is open, or want of room for it or for its answer."""
        return self.code not in _NOT_ASKED

    @classmethod
    def timed_out(cls, sent: Sent = Sent.MAYBE) -> "UpstreamFailure":
        """There is no answer yet, and no time left to wait for it."""
        return cls(sent, Code.UPSTREAM_TIMEOUT, _TIMED_OUT)

    def as_refusal(self) -> Refusal:
        """The gateway's own error for it."""
        return Refusal(self.code, self.message, retry_after=self.retry_after)


_NOT_ASKED = (Code.OVERLOADED, Code.UPSTREAM_CIRCUIT_OPEN)

_REPORT = "report the request_id to your platform team."
"""Neither a retry nor another request may help; after a create a retry could even pay twice."""

_TIMED_OUT = "Upstream did not answer in time; try again."
_UNREACHABLE = "The gateway cannot connect to upstream; try again shortly."
_BROKEN_OFF = "Upstream broke off the connection before it answered; try again."
_MALFORMED = f"Upstream's answer is not valid HTTP; {_REPORT}"

FAILURES: tuple[tuple[type[httpx.TransportError], Sent, Code, str], ...] = (
    (httpx.ConnectTimeout, Sent.NEVER, Code.UPSTREAM_TIMEOUT, _TIMED_OUT),
    (httpx.PoolTimeout, Sent.NEVER, Code.UPSTREAM_TIMEOUT, _TIMED_OUT),
    (httpx.ConnectError, Sent.NEVER, Code.UPSTREAM_UNREACHABLE, _UNREACHABLE),
    (httpx.UnsupportedProtocol, Sent.NEVER, Code.UPSTREAM_UNREACHABLE, _UNREACHABLE),
    (httpx.RemoteProtocolError, Sent.MAYBE, Code.UPSTREAM_INVALID, _MALFORMED),
    (httpx.TimeoutException, Sent.MAYBE, Code.UPSTREAM_TIMEOUT, _TIMED_OUT),
    (httpx.TransportError, Sent.MAYBE, Code.UPSTREAM_UNREACHABLE, _BROKEN_OFF),
)
"""Before an answer's head: the first class that fits an exception says what it means. What no row names, such as a
class a later httpx brings, counts as sent: money is never given back by guess."""


def failure_of(error: httpx.TransportError) -> UpstreamFailure:
    """The failure an exception of the transport stands for, when it came before the answer's head."""
    _, sent, code, message = next(row for row in FAILURES if isinstance(error, row[0]))
    return UpstreamFailure(sent, code, message)


def reason_of(failure: UpstreamFailure) -> Reason | None:
    """Why the call could be made again, if that can help."""
    if failure.code is not Code.UPSTREAM_UNREACHABLE:
        return None
    return Reason.UNREACHABLE if failure.sent is Sent.NEVER else Reason.RESET
