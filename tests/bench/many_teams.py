"""A thousand teams with ten keys each: what a call costs beside one team, how long a reload and a scrape take."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Ask, Load, Result
from tests.bench.ours import Gateway, Job, Setup, Teams, gateway
from tests.bench.processes import CPU_OF_LOAD
from tests.bench.rounds import Findings, Options, Scene, scene
from tests.bench.stalls import Stall, watch
from tests.bench.upstream import Kind

ONE = Teams(1, 10)
MANY = Teams(1000, 10)
WORK = ("cached listing", "shared poll", "create")
_JOBS = 100
"""Live jobs that are polled: as many with one team, because upstream is asked for each once a second."""


@dataclass(frozen=True)
class ManyTeams:
    """Rounds by kind of work, with one team and with a thousand; what reloads and scrapes did with a thousand."""

    one: dict[str, list[Result]]
    many: dict[str, list[Result]]
    reloads: list[Stall]
    scrapes: list[Stall]

    def cost(self, work: str) -> list[float]:
        """CPU per request with a thousand teams over that with one, round by round."""
        pairs = zip(self.one[work], self.many[work], strict=True)
        return [many.cpu_us / max(one.cpu_us, 1e-9) for one, many in pairs]


def measure_many_teams(options: Options, folder: Path) -> ManyTeams:
    """Two gateways side by side, one working while the other stands still."""
    with (
        scene(Kind.PLAIN, (), folder / "teams", Findings()) as where,
        gateway(where.folder / "one", where.upstream, Setup(ONE)) as one,
        gateway(where.folder / "many", where.upstream, Setup(MANY)) as many,
    ):
        loads = {id(ours): _loads(ours, where) for ours in (one, many)}
        results: dict[int, dict[str, list[Result]]] = {id(ours): {work: [] for work in WORK} for ours in (one, many)}
        for number in range(options.rounds):
            for work in WORK:
                for ours, other in ((one, many), (many, one)):
                    with _alone(other):
                        load = loads[id(ours)][work]
                        load.warm(ours.target, len(ours.teams.all_keys()) if number == 0 else 1)
                        results[id(ours)][work].append(load.run(ours.target, where.upstream, options.seconds))
            print(f"1 000 teams: round {number + 1} of {options.rounds}", file=sys.stderr)
        with _alone(one):
            reloads = [_reload(many, number) for number in range(3)]
            scrapes = [watch(many.admin, _curl(f"{many.admin}/metrics")) for _ in range(5)]
    return ManyTeams(results[id(one)], results[id(many)], reloads, scrapes)


def _loads(ours: Gateway, where: Scene) -> dict[str, Load]:
    keys = ours.teams.all_keys()
    jobs: list[Job] = ours.create_jobs(_JOBS)
    asks = {
        "cached listing": [Ask("GET", "/models", key) for key in keys],
        "shared poll": [Ask("GET", f"/requests/{job.id}", job.key) for job in jobs],
        "create": [Ask("POST", "/requests", key) for key in keys],
    }
    return {work: Load(asked, 32, where.folder) for work, asked in asks.items()}


@contextmanager
def _alone(other: Gateway) -> Iterator[None]:
    other.process.pause()
    try:
        yield
    finally:
        other.process.resume()


def _reload(ours: Gateway, number: int) -> Stall:
    """Change one team's file and have everything read again."""
    changed = ours.policies / "team-0.yaml"
    changed.write_text(f"{changed.read_text()}# {number}\n")
    return watch(ours.admin, _curl(f"{ours.admin}/reload", "-X", "POST"))


def _curl(url: str, *options: str) -> tuple[str, ...]:
    return ("taskset", "-c", CPU_OF_LOAD, "curl", "-sSf", "-o", "/dev/null", *options, url)
