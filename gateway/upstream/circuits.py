"""The circuit breakers of upstream: one for each credential, for what fails with one key says nothing of another's."""

import logging
from collections.abc import Collection

from gateway.core.breaker import Breaker, Circuit
from gateway.core.errors import Code
from gateway.logs import log_event
from gateway.telemetry import Metrics
from gateway.upstream.failures import Sent, UpstreamFailure


class Circuits:
    """The circuit of each credential that was asked with. Instants are on any monotonic clock, always the same one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._breakers: dict[str, Breaker] = {}
        self._show()

    def of(self, credential: str) -> Breaker:
        """The credential's own."""
        breaker = self._breakers.get(credential)
        if breaker is None:
            breaker = self._breakers[credential] = Breaker()
        return breaker

    def admit(self, credential: str, now: float) -> None:
        """Let a call through that may show whether upstream works again. Raises UpstreamFailure while none may."""
        if not self.of(credential).admit(now):
            raise self.is_open(credential, now)
        self._show()

    def pause_of(self, credential: str, team: str, now: float) -> UpstreamFailure | None:
        """Why a call for the team would not be let through now; None if one would be, or might.

        Nothing changes by asking.
        """
        breaker = self.of(credential)
        return self.is_open(credential, now) if breaker.binds(team) and breaker.is_resting(now) else None

    def is_open(self, credential: str, now: float) -> UpstreamFailure:
        """Why a call does not go out."""
        message, wait = "Upstream fails repeatedly and is given a pause; try again.", self.of(credential).wait(now)
        return UpstreamFailure(Sent.NEVER, Code.UPSTREAM_CIRCUIT_OPEN, message, retry_after=wait)

    def note(self, credential: str, team: str, began: float, now: float, *, works: bool) -> None:
        """What a call for the team that `began` then has shown of upstream."""
        breaker = self.of(credential)
        before, bound = breaker.state, breaker.team
        if works:
            breaker.succeed(team, now)
        else:
            breaker.fail(began, now, team)
        if breaker.state is not before or (before is Circuit.OPEN and breaker.team != bound):
            alone = {"team": breaker.team} if breaker.team else {}
            log_event(logging.WARNING, "upstream circuit", credential=credential, state=breaker.state.value, **alone)
            self._show()

    def keep(self, credentials: Collection[str]) -> None:
        """Forget the circuits of all others: nobody asks with those any more."""
        self._breakers = {name: breaker for name, breaker in self._breakers.items() if name in credentials}
        self._show()

    def _show(self) -> None:
        found = {breaker.state for breaker in self._breakers.values()} or {Circuit.CLOSED}
        self._metrics.circuit.show({(state.value,): int(state in found) for state in Circuit})
