"""Which of a credential's keys upstream takes, by its last word on them."""

import logging
from collections.abc import Collection, Sequence

from gateway.logs import Seldom, log_event
from gateway.telemetry import Metrics
from gateway.upstream.credentials import Secret


class Keys:
    """The key of each credential that was taken last, and the credentials of which none was, as the metric shows."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._taken: dict[str, Secret] = {}
        self._refused: set[str] = set()
        self._said = Seldom()

    @property
    def refused(self) -> tuple[str, ...]:
        """The credentials of which upstream took no key, by name."""
        return tuple(sorted(self._refused))

    @property
    def any_refused(self) -> bool:
        """Whether there is a credential of which upstream took no key."""
        return bool(self._refused)

    def in_order(self, credential: str, keys: Sequence[Secret]) -> Sequence[Secret]:
        """The key that last worked, then the others."""
        if len(keys) == 1:
            return keys
        taken = self._taken.get(credential)
        return sorted(keys, key=lambda key: key != taken)

    def take(self, credential: str, key: Secret) -> None:
        """Upstream took this key."""
        self._taken[credential] = key
        if credential in self._refused:
            self._refused.discard(credential)
            self._show()

    def refuse(self, credential: str) -> None:
        """Upstream took no key of the credential, or there was none to be sent."""
        self._refused.add(credential)
        self._show()

    def say_refused(self, credential: str, status: int, ticks: float) -> None:
        """Log that upstream refused one of the credential's keys. Every call finds that out anew, so it is seldom."""
        if self._said.may_say((credential, status), ticks):
            log_event(logging.ERROR, "upstream refused a key", credential=credential, status=status)

    def say_missing(self, credential: str, ticks: float) -> None:
        """The same where there is none to be sent."""
        if self._said.may_say((credential, None), ticks):
            log_event(logging.ERROR, "no upstream key can be read", credential=credential)

    def keep(self, credentials: Collection[str]) -> None:
        """Forget all others: nobody asks with those any more."""
        self._taken = {name: key for name, key in self._taken.items() if name in credentials}
        self._refused.intersection_update(credentials)
        self._show()

    def _show(self) -> None:
        self._metrics.key_refused.show({(name,): 1 for name in self.refused})
