"""The page: what was measured, beside whom, and which aims are met."""

import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.aims import AIMS, verdict
from tests.bench.interpreter import version
from tests.bench.load import Result
from tests.bench.measures import Run, measures, ratios
from tests.bench.ours import OURS
from tests.bench.paced import Pace
from tests.bench.peers import PEERS, VERSIONS
from tests.bench.rounds import Rounds
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.texts import write_file

_FORWARDED = 0.97
"""Upstream calls per poll below which a forwarded poll was none."""


def write_page(run: Run, command: str, target: Path) -> None:
    """The whole page, written to `target`."""
    write_file(
        "performance.md",
        target,
        command=command,
        machine=machine(),
        versions=", ".join(f"{name} {version}" for name, version in VERSIONS.items()),
        day=time.strftime("%Y-%m-%d"),
        aims="\n".join(aims_lines(run, all_of_them=True)),
        results="\n".join(result_lines(run)),
        paces="\n".join(pace_lines(run)),
        remarks="\n".join(remarks(run)),
    )


def aims_lines(run: Run, *, all_of_them: bool) -> Iterator[str]:
    """The table of aims: of those that were measured, or of all."""
    found = measures(run)
    yield "| Work | Aim | Measured: median (span of the rounds) | |"
    yield "|---|---|---|---|"
    for aim in AIMS:
        if all_of_them or found.get(aim.measure):
            yield verdict(aim, found.get(aim.measure))


def result_lines(run: Run) -> Iterator[str]:
    """The table of measurements, server by server."""
    yield "| Scenario | Server | Requests/s | p50 ms | p99 ms | CPU µs/request | Memory MB | Gateway's CPU beside it |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for scenario in SCENARIOS:
        rounds = run.findings.results.get(scenario.name, {})
        for server, results in ((name, found) for name, found in rounds.items() if found):
            yield f"| {scenario.title} | {server} | {_figures(results)} | {_beside(rounds, server)} |"


def _figures(results: list[Result]) -> str:
    return " | ".join(
        (
            f"{median(each.per_second for each in results):.0f}",
            f"{median(each.p50 for each in results) * 1e3:.2f}",
            f"{median(each.p99 for each in results) * 1e3:.2f}",
            f"{median(each.cpu_us for each in results):.0f}",
            f"{max(each.resident for each in results) / 1e6:.0f}",
        )
    )


def _beside(rounds: Rounds, server: str) -> str:
    """The gateway's CPU over this server's: the median of the rounds' ratios, and their span."""
    if server == OURS:
        return ""
    found = ratios(rounds, OURS, server, lambda result: result.cpu_us)
    return f"{median(found):.2f} times ({min(found):.2f} to {max(found):.2f})"


def pace_lines(run: Run) -> Iterator[str]:
    """The table of paced pollers."""
    yield "| Pollers | Server | Polls | p50 ms | p99 ms | Failed |"
    yield "|---|---|--:|--:|--:|--:|"
    if run.sharing is None:
        return
    for server, paces in run.sharing.paces.items():
        for pace in paces:
            yield _pace_line("200 at 1 Hz, each poll another live job", server, pace)
    yield _pace_line("2 000 at 1 Hz, 100 live jobs", OURS, run.sharing.crowd)


def _pace_line(pollers: str, server: str, pace: Pace) -> str:
    milliseconds = f"{pace.p50 * 1e3:.2f} | {pace.p99 * 1e3:.2f}"
    return f"| {pollers} | {server} | {pace.requests} | {milliseconds} | {pace.errors} |"


def remarks(run: Run) -> Iterator[str]:
    """What a reader must know to believe the tables, or not to."""
    for name in PEERS:
        if name in run.findings.absent:
            yield f"- {name} could not be installed here and is absent."
        if name in run.findings.gone:
            yield f"- {name} ended by itself while it was measured; what it did until then is shown."
    for scenario in SCENARIOS:
        for server, results in run.findings.results.get(scenario.name, {}).items():
            yield from _remarks_on(scenario, server, results)
    if run.sharing is not None:
        yield f"- 200 pollers at 1 Hz: upstream got {run.sharing.forwarded:.2f} calls per poll of the gateway."
    if run.workers is None:
        yield "- Two workers were not measured."
    elif (os.cpu_count() or 1) < 3:
        yield (
            "- Two workers have no two cores to themselves here. What stands for them is no measured speed, but twice "
            "what one core does at the CPU that a request costs with two."
        )


def _remarks_on(scenario: Scenario, server: str, results: list[Result]) -> Iterator[str]:
    calls, failed = min((each.calls for each in results), default=0.0), sum(each.errors for each in results)
    if scenario.forwards and server == OURS:
        many = "" if calls >= _FORWARDED else "; **too few, the jobs were asked again within a second**"
        yield f"- {scenario.title}: upstream got at least {calls:.2f} calls per poll of the gateway{many}."
    if failed:
        yield f"- {scenario.title}: {server} failed {failed} of {sum(each.requests for each in results)} calls."


def machine() -> str:
    """Processor, cores, kernel and Python; no name and no path."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    kernel = platform.release().split("-")[0]
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {kernel}, "
        f"Python {version()}"
    )
