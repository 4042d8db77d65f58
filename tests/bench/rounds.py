"""Scenarios carried out: the servers take turns, round after round, and all but the one being asked stand still."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.load import Load, Result, Target, Unreachable
from tests.bench.ours import OURS, Gateway, Setup, gateway
from tests.bench.peers import peer
from tests.bench.processes import CPU_OF_LOAD
from tests.bench.scenarios import Scenario
from tests.bench.upstream import Kind, Upstream, upstream
from tests.postgres import running_server

_LONGER = {"litellm": 4, "portkey": 2}
"""Who is measured so much longer: what is still under way at the end was worked on and is not counted."""

_CAUGHT_UP = 3
"""How often each live job is asked for before it counts: until what fell due while the gateway stood still is done."""

Rounds = dict[str, list[Result]]
"""By server, one result a round."""


@dataclass(frozen=True)
class Options:
    """Beside whom, how long and how often; `most_jobs` bounds the live jobs that the forwarded polls go round."""

    peers: tuple[str, ...]
    rounds: int = 3
    seconds: float = 2.0
    most_jobs: int = 20_000


@dataclass(frozen=True)
class Scene:
    """A running upstream and the peers in front of it, paused; those that end in the course of it are `gone`."""

    upstream: Upstream
    peers: dict[str, Target]
    folder: Path
    gone: set[str]


@dataclass
class Findings:
    """Results by scenario, the peers that could not be had, and those that ended while they were measured."""

    results: dict[str, Rounds] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


@contextmanager
def scene(kind: Kind, peers: Sequence[str], folder: Path, findings: Findings) -> Iterator[Scene]:
    """Start the upstream and the peers; those that cannot be had are noted as absent."""
    folder.mkdir()
    with ExitStack() as stack:
        behind = stack.enter_context(upstream(kind, folder))
        running = {}
        for name in peers:
            target = stack.enter_context(peer(name, folder, behind))
            if target is None:
                findings.absent.add(name)
                continue
            target.process.pause()
            running[name] = target
        yield Scene(behind, running, folder, findings.gone)


def carry_out(scenarios: Sequence[Scenario], options: Options, folder: Path) -> Findings:
    """All scenarios, those with the same upstream together."""
    findings = Findings()
    for kind in dict.fromkeys(scenario.kind for scenario in scenarios):
        group = [scenario for scenario in scenarios if scenario.kind is kind]
        wanted = [name for name in options.peers if any(name in scenario.peers for scenario in group)]
        with scene(kind, wanted, folder / kind.name.lower(), findings) as where:
            for scenario in group:
                carry_one = _with_fresh_gateways if scenario.fresh else _with_one_gateway
                findings.results[scenario.name] = carry_one(scenario, where, options)
    return findings


def _with_one_gateway(scenario: Scenario, where: Scene, options: Options) -> Rounds:
    place = where.folder / scenario.name
    with gateway(place, where.upstream) as ours:
        jobs = ours.create_jobs(min(scenario.jobs, options.most_jobs))
        load = Load(scenario.asks(jobs, ours.teams.all_keys()), scenario.connections, where.folder)
        if scenario.forwards:
            # The first look at a job is written down in the ledger, which the hundreds that follow are not.
            load.warm(ours.target, len(jobs))
        ours.process.pause()
        results = _Results(scenario, where)
        for number in range(options.rounds * scenario.rounds):
            for server in results.servers(ours, number):
                # Jobs that fell due while others had their turn are caught up with before it counts.
                warmth = _CAUGHT_UP * len(jobs) if server.name == OURS and scenario.forwards else 1
                results.add(server, _measure(load, server, where, options, warmth))
            _say(scenario, number, options)
    return results.rounds


def _with_fresh_gateways(scenario: Scenario, where: Scene, options: Options) -> Rounds:
    results = _Results(scenario, where)
    for number in range(options.rounds * scenario.rounds):
        place = where.folder / f"{scenario.name}-{number}"
        with _setup(scenario) as setup, gateway(place, where.upstream, setup) as ours:
            load = Load(scenario.asks((), ours.teams.all_keys()), scenario.connections, where.folder)
            ours.process.pause()
            for server in results.servers(ours, number):
                results.add(server, _measure(load, server, where, options, 1))
        shutil.rmtree(place)
        _say(scenario, number, options)
    return results.rounds


@contextmanager
def _setup(scenario: Scenario) -> Iterator[Setup]:
    """What the scenario's gateway is started with. A database shares the core of the load."""
    if not scenario.postgresql:
        yield Setup()
        return
    with running_server() as server:
        os.sched_setaffinity(server.pid, {int(CPU_OF_LOAD)})
        yield Setup(ledger=server.ledger_database())


class _Results:
    """The results of one scenario, and who is to be measured for them."""

    def __init__(self, scenario: Scenario, where: Scene) -> None:
        self._peers = [where.peers[name] for name in scenario.peers if name in where.peers.keys() - where.gone]
        self._gone = where.gone
        self.rounds: Rounds = {name: [] for name in (*(peer.name for peer in self._peers), OURS)}

    def servers(self, ours: Gateway, number: int) -> list[Target]:
        """All that take part, another one first each round."""
        servers = [*(peer for peer in self._peers if peer.name not in self._gone), ours.target]
        first = number % len(servers)
        return [*servers[first:], *servers[:first]]

    def add(self, server: Target, result: Result | None) -> None:
        """One more round's result, if there is one."""
        if result is not None:
            self.rounds[server.name].append(result)


def _measure(load: Load, server: Target, where: Scene, options: Options, warmth: int) -> Result | None:
    """The result; None, and the server is gone, if it is a peer that has ended. Raises Unreachable for the gateway."""
    server.process.resume()
    try:
        load.warm(server, warmth)
        return load.run(server, where.upstream, options.seconds * _LONGER.get(server.name, 1))
    except Unreachable:
        if server.name == OURS:
            raise
        where.gone.add(server.name)
        return None
    finally:
        server.process.pause()


def _say(scenario: Scenario, number: int, options: Options) -> None:
    print(f"{scenario.title}: round {number + 1} of {options.rounds * scenario.rounds}", file=sys.stderr)
