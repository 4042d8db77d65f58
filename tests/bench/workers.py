"""One worker beside two."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Load, Result
from tests.bench.ours import Setup, gateway
from tests.bench.processes import CPU_UNDER_TEST
from tests.bench.rounds import Findings, Options, scene
from tests.bench.scenarios import SCENARIOS
from tests.bench.upstream import Kind

_ROOM = (os.cpu_count() or 1) >= 3
"""Whether two workers have two cores beside that of the load."""


@dataclass(frozen=True)
class Workers:
    """Rounds of cached listings with one worker and with two."""

    one: list[Result]
    two: list[Result]

    def gains(self) -> list[float]:
        """How much more two do than one, round by round.

        Without a core for each, what they would do: twice what a core does at their CPU per request.
        """
        pairs = zip(self.one, self.two, strict=True)
        if _ROOM:
            return [two.per_second / one.per_second for one, two in pairs]
        return [2 * one.cpu_us / two.cpu_us for one, two in pairs]


def measure_workers(options: Options, folder: Path) -> Workers:
    """Both gateways in turn; each has its own ledger, and the other stands still."""
    cores = f"{CPU_UNDER_TEST},2" if _ROOM else CPU_UNDER_TEST
    listing = next(scenario for scenario in SCENARIOS if scenario.name == "listing")
    results: tuple[list[Result], list[Result]] = ([], [])
    with (
        scene(Kind.PLAIN, (), folder / "workers", Findings()) as where,
        gateway(where.folder / "one", where.upstream, Setup()) as one,
        gateway(where.folder / "two", where.upstream, Setup(workers=2, cpu=cores)) as two,
    ):
        load = Load(listing.asks((), one.teams.all_keys()), 64, where.folder)
        for number in range(options.rounds):
            for kept, ours, other in ((results[0], one, two), (results[1], two, one)):
                other.process.pause()
                load.warm(ours.target, 1)
                kept.append(load.run(ours.target, where.upstream, options.seconds))
                other.process.resume()
            print(f"2 workers: round {number + 1} of {options.rounds}", file=sys.stderr)
    return Workers(*results)
