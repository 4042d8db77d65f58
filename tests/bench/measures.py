"""From what was measured to the values that the aims are about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench.aims import Values
from tests.bench.load import Result
from tests.bench.many_teams import WORK, ManyTeams
from tests.bench.ours import OURS
from tests.bench.rounds import Findings, Rounds
from tests.bench.scenarios import LARGE
from tests.bench.sharing import UPSTREAM_TAKES, Sharing
from tests.bench.starting import Start
from tests.bench.workers import Workers

_IN_FLIGHT = 32 * LARGE * 1024**2


@dataclass
class Run:
    """Everything one run found; what was not asked for is None."""

    findings: Findings = field(default_factory=Findings)
    sharing: Sharing | None = None
    starts: list[Start] | None = None
    workers: Workers | None = None
    teams: ManyTeams | None = None


def ratios(rounds: Rounds, upper: str, lower: str, value: Callable[[Result], float]) -> list[float]:
    """Round by round, one server's value over another's; nothing if one of them did not take part."""
    pairs = zip(rounds.get(upper, ()), rounds.get(lower, ()), strict=False)
    return [value(above) / max(value(below), 1e-9) for above, below in pairs]


def measures(run: Run) -> Mapping[str, Values]:
    """Values by the name of the measure."""
    return {
        **_compared(run.findings.results),
        **(_of_sharing(run.sharing) if run.sharing else {}),
        **(_of_starts(run.starts) if run.starts else {}),
        **({"workers": run.workers.gains()} if run.workers else {}),
        **(_of_teams(run.teams) if run.teams else {}),
    }


def _cpu(result: Result) -> float:
    return result.cpu_us


def _p99(result: Result) -> float:
    return result.p99


def _per_second(result: Result) -> float:
    return result.per_second


def _compared(results: Mapping[str, Rounds]) -> dict[str, Values]:
    def rounds(name: str) -> Rounds:
        return results.get(name, {})

    creates = rounds("create-64")
    return {
        "cpu poll envoy": ratios(rounds("poll"), OURS, "envoy", _cpu),
        "cpu litellm poll": ratios(rounds("poll"), "litellm", OURS, _cpu),
        "cpu portkey poll": ratios(rounds("poll"), "portkey", OURS, _cpu),
        "cpu shared nginx": ratios(rounds("shared"), OURS, "nginx", _cpu),
        "cpu listing nginx": ratios(rounds("listing"), OURS, "nginx", _cpu),
        "cpu large envoy": ratios(rounds("large"), OURS, "envoy", _cpu),
        "growth": [result.growth / _IN_FLIGHT for result in rounds("large").get(OURS, ())],
        "creates": [result.per_second for result in creates.get(OURS, ())],
        "creates postgresql": [result.per_second for result in rounds("create-64-postgresql").get(OURS, ())],
        "creates litellm": ratios(creates, OURS, "litellm", _per_second),
        **{f"p99 {name} nginx": ratios(rounds(name), OURS, "nginx", _p99) for name in ("poll", "shared", "listing")},
    }


def _of_sharing(sharing: Sharing) -> dict[str, Values]:
    return {
        "crowd": [sharing.calls],
        "paced": [(pace.p50 - UPSTREAM_TAKES) * 1e3 for pace in sharing.paces[OURS]],
    }


def _of_starts(starts: list[Start]) -> dict[str, Values]:
    return {"resident": [start.resident / 1e6 for start in starts], "start": [start.seconds for start in starts]}


def _of_teams(teams: ManyTeams) -> dict[str, Values]:
    return {
        **{f"teams {work}": teams.cost(work) for work in WORK},
        "reload": [stall.seconds for stall in teams.reloads],
        "reload stall": [stall.longest * 1e3 for stall in teams.reloads],
        "scrape": [stall.seconds * 1e3 for stall in teams.scrapes],
        "scrape stall": [stall.longest * 1e3 for stall in teams.scrapes],
    }
