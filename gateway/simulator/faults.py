"""Faults on request: which operation goes wrong, how, and how often.

A fault is written `OPERATION:KIND[:AMOUNT[:TIMES]]`: `create_request:429:0.5` refuses every second create,
`get_request:latency:2` delays every read by 2 s, `create_request:504:1:3` times out the first three creates.
Whether a fault fires is counted, never drawn by lot, so a test meets the same faults every time.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

OPERATIONS = (
    "list_models",
    "get_model",
    "create_request",
    "get_request",
    "list_requests",
    "delete_request",
    "upload_url",
)
ANY_OPERATION = "*"


class Kind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    UNAUTHORIZED = "401"
    NO_CREDIT = "402"
    FORBIDDEN = "403"
    RATE_LIMITED = "429"
    BACKEND_ERROR = "500"
    NO_CAPACITY = "503"
    HTML = "html"
    RESET_BEFORE = "reset-before"
    EDGE_TIMEOUT = "504"
    RESET_AFTER = "reset-after"


LOST_ANSWERS = frozenset({Kind.EDGE_TIMEOUT, Kind.RESET_AFTER})
"""Failures that let the operation happen first: its effect stands, its answer is lost."""


@dataclass(frozen=True)
class Fault:
    """One fault: `amount` is seconds for latency and else the share of calls hit, 0 to 1.

    `times` ends the fault after that many hits; None never does.
    """

    operation: str
    kind: Kind
    amount: float = 1.0
    times: int | None = None

    def __post_init__(self) -> None:
        _check_operation(self.operation)
        most = math.inf if self.kind is Kind.LATENCY else 1.0
        if not (0 <= self.amount <= most and math.isfinite(self.amount)):
            raise ValueError(f"{self.amount} is out of range for {self.kind.value}")

    def __str__(self) -> str:
        """The text `parse_fault` reads."""
        times = "" if self.times is None else f":{self.times}"
        return f"{self.operation}:{self.kind.value}:{self.amount:g}{times}"


def parse_fault(text: str) -> Fault:
    """Read one fault as written on a command line; ValueError says what is wrong with it."""
    operation, _, rest = text.partition(":")
    kind, _, rest = rest.partition(":")
    amount, _, times = rest.partition(":")
    try:
        _check_operation(operation)
        return Fault(operation, _parse_kind(kind), float(amount or "1"), int(times) if times else None)
    except ValueError as error:
        raise ValueError(f"fault {text!r}: {error}") from None


def _check_operation(operation: str) -> None:
    if operation not in (ANY_OPERATION, *OPERATIONS):
        raise ValueError(f"unknown operation {operation!r}; one of *, {', '.join(OPERATIONS)}")


def _parse_kind(text: str) -> Kind:
    if text not in list(Kind):
        raise ValueError(f"unknown kind {text!r}; one of {', '.join(Kind)}")
    return Kind(text)


@dataclass(frozen=True)
class Trouble:
    """What one call meets: a delay in seconds, then perhaps a failure."""

    delay: float = 0.0
    failure: Kind | None = None


class Faults:
    """The faults in force and how often each was met."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.replace(faults)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Put other faults in force; every count starts again."""
        self.active = tuple(faults)
        self._met: Counter[int] = Counter()
        self._hits: Counter[int] = Counter()

    def meet(self, operation: str) -> Trouble:
        """Count one call of the operation and say what it meets; the first failure that fires wins."""
        delay, failure = 0.0, None
        for position, fault in enumerate(self.active):
            if fault.operation not in (operation, ANY_OPERATION):
                continue
            if fault.kind is not Kind.LATENCY:
                if failure is None and self._fires(position, fault.amount, fault.times):
                    failure = fault.kind
            elif self._fires(position, 1.0, fault.times):
                delay += fault.amount
        return Trouble(delay, failure)

    def _fires(self, position: int, share: float, times: int | None) -> bool:
        met = self._met[position]
        self._met[position] += 1
        if times is not None and self._hits[position] >= times:
            return False
        # Of n calls floor(n * share) are hit, evenly spread.
        fires = math.floor((met + 1) * share) > math.floor(met * share)
        self._hits[position] += fires
        return fires
