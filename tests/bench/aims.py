"""What the gateway aims at, as data, and what of it a run has met."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Values = Sequence[float]


@dataclass(frozen=True)
class Aim:
    """The median of a measure's rounds is to be at most, or at least, so much."""

    measure: str
    work: str
    most: float | None = None
    least: float | None = None
    unit: str = "times"

    def is_met_by(self, values: Values) -> bool:
        """Whether the median is on the right side of every bound."""
        middle = median(values)
        return (self.most is None or middle <= self.most) and (self.least is None or middle >= self.least)

    def wanted(self) -> str:
        """The bound in words."""
        return f"≤ {self.most:g} {self.unit}" if self.most is not None else f"≥ {self.least:g} {self.unit}"

    def found(self, values: Values) -> str:
        """The median and, of several rounds, the span."""
        span = f" ({_short(min(values))} to {_short(max(values))})" if len(values) > 1 else ""
        return f"{_short(median(values))} {self.unit}{span}"


def verdict(aim: Aim, values: Values | None) -> str:
    """One line of the table of aims."""
    if not values:
        return f"| {aim.work} | {aim.wanted()} | not measured | |"
    return (
        f"| {aim.work} | {aim.wanted()} | {aim.found(values)} | {'met' if aim.is_met_by(values) else '**not met**'} |"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.4g}"


AIMS = (
    Aim("cpu poll envoy", "forwarded poll: CPU beside Envoy", most=1.0),
    Aim("cpu litellm poll", "forwarded poll: requests per CPU-second beside LiteLLM", least=80),
    Aim("cpu portkey poll", "forwarded poll: requests per CPU-second beside Portkey", least=15),
    Aim("cpu shared nginx", "shared poll: CPU beside nginx merely forwarding", most=3.5),
    Aim("cpu listing nginx", "cached listing: CPU beside nginx merely forwarding", most=3.5),
    Aim("crowd", "2 000 pollers of 100 live jobs: upstream calls per job and second", most=1.02, unit="calls"),
    Aim("paced", "200 pollers at 1 Hz, upstream 20 ms: p50 beyond upstream's own time", most=2.0, unit="ms"),
    Aim("cpu large envoy", "create of 4 MiB, 32 at once: CPU beside Envoy", most=2.0),
    Aim("growth", "create of 4 MiB, 32 at once: growth of memory beside the bytes in flight", most=2.0),
    Aim("p99 poll nginx", "forwarded poll, 32 connections: p99 beside nginx", most=3.0),
    Aim("p99 shared nginx", "shared poll, 32 connections: p99 beside nginx", most=3.0),
    Aim("p99 listing nginx", "cached listing, 32 connections: p99 beside nginx", most=3.0),
    Aim("resident", "idle: resident memory", most=60, unit="MB"),
    Aim("start", "cold start, until ready", most=1.0, unit="s"),
    Aim("workers", "2 workers beside one", least=1.8),
    Aim("creates", "durable creates a second, 64 clients, one core", least=1000, unit="a second"),
    Aim("creates postgresql", "the same with a ledger on PostgreSQL", least=500, unit="a second"),
    Aim("creates litellm", "durable creates a second, 64 clients, beside LiteLLM forwarding them", least=10),
    Aim("teams cached listing", "1 000 teams of 10 keys each: CPU of a cached listing beside one team", most=1.1),
    Aim("teams shared poll", "1 000 teams of 10 keys each: CPU of a shared poll beside one team", most=1.1),
    Aim("teams create", "1 000 teams of 10 keys each: CPU of a create beside one team", most=1.1),
    Aim("reload", "1 000 teams of 10 keys each: reload", most=2.0, unit="s"),
    Aim("reload stall", "1 000 teams of 10 keys each: longest stall in a reload", most=20, unit="ms"),
    Aim("scrape", "1 000 teams of 10 keys each: scrape", most=200, unit="ms"),
    Aim("scrape stall", "1 000 teams of 10 keys each: longest stall in a scrape", most=20, unit="ms"),
)
"""Where several rounds were run each value is a round's own ratio, so that what disturbs both does not count."""
