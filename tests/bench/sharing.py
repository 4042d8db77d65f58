"""Pollers at a fixed pace: what a poll waits for beyond upstream, and how many calls upstream gets for them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Target
from tests.bench.ours import OURS, Job, gateway
from tests.bench.paced import Order, Pace, pace, poll_head
from tests.bench.rounds import Findings, Options, Scene, scene
from tests.bench.upstream import Kind, Q

UPSTREAM_TAKES = 0.020

_POLLERS = 200
_JOBS_OF_POLLER = 3
_CROWD = 2000
_SHARED_JOBS = 100


@dataclass(frozen=True)
class Sharing:
    """By server the `paces` of 200 pollers at 1 Hz, each poll a forwarded one, and upstream's calls per poll.

    Of 2 000 pollers of 100 jobs the pace, and the `calls` per job and second that upstream got.
    """

    paces: dict[str, list[Pace]]
    forwarded: float
    crowd: Pace
    calls: float


def measure_sharing(options: Options, folder: Path, findings: Findings) -> Sharing:
    """Both scenarios, in front of an upstream that takes 20 ms, each with a gateway of its own: the jobs that nobody
    polls are followed, and would count.
    """
    names = [name for name in options.peers if name in ("nginx", "envoy")]
    seconds = max(4.0, 4.0 * options.seconds)
    with scene(Kind.SLOW, names, folder / "sharing", findings) as where:
        paces, forwarded = _take_turns(where, min(3, options.rounds), seconds)
        with gateway(where.folder / "crowd", where.upstream) as ours:
            few = ours.create_jobs(_SHARED_JOBS)
            jobs = [[few[number % len(few)]] for number in range(_CROWD)]
            crowd, calls = _paced(ours.target, jobs, 2 * seconds, where)
    return Sharing(paces, forwarded, crowd, calls / (len(few) * 2 * seconds))


def _take_turns(where: Scene, rounds: int, seconds: float) -> tuple[dict[str, list[Pace]], float]:
    """The paces by server, and upstream's calls per poll of the gateway where they were fewest."""
    shares = []
    with gateway(where.folder / "gateway", where.upstream) as ours:
        jobs = _own_jobs(ours.create_jobs(_POLLERS * _JOBS_OF_POLLER))
        servers = [*where.peers.values(), ours.target]
        paces: dict[str, list[Pace]] = {server.name: [] for server in servers}
        for number in range(rounds):
            for server in servers:
                seen, calls = _paced(server, jobs, seconds, where)
                paces[server.name].append(seen)
                if server.name == OURS:
                    shares.append(calls / max(1, seen.requests))
            print(f"200 pollers at 1 Hz: round {number + 1} of {rounds}", file=sys.stderr)
    return paces, min(shares)


def _own_jobs(jobs: Sequence[Job]) -> list[Sequence[Job]]:
    """Each poller's own jobs, asked in turn, so that no look is less than two seconds after the last."""
    return [jobs[number * _JOBS_OF_POLLER :][:_JOBS_OF_POLLER] for number in range(_POLLERS)]


def _paced(server: Target, jobs: Sequence[Sequence[Job]], seconds: float, where: Scene) -> tuple[Pace, int]:
    """The pace, and upstream's calls meanwhile."""
    heads = [[poll_head(server.url, f"{Q}/requests/{job.id}", job.key) for job in each] for each in jobs]
    if server.name != OURS:
        server.process.resume()
    before = where.upstream.calls()
    seen = pace(Order(server.url, heads, 1.0, seconds))
    calls = where.upstream.calls() - before - 1
    if server.name != OURS:
        server.process.pause()
    return seen, calls
