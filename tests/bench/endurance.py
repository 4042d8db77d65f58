"""`python -m tests.bench.endurance`: what a gateway holds after hundreds of thousands of mixed requests.

Most are polls and listings, some are refused, a few are creates, whose jobs live on and are remembered; the policies
are read again now and then. A line is printed each time another part is done, and at the end the slope of the memory
after the warm-up.
"""

import argparse
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

from tests.bench.load import Ask, Load
from tests.bench.ours import Gateway, Job, gateway
from tests.bench.rounds import Findings, scene
from tests.bench.upstream import Kind

CONNECTIONS = 32
JOBS = 500
_SECONDS = 5
"""Of each part."""


@dataclass(frozen=True)
class Held:
    """What the gateway holds after so many requests."""

    requests: int
    resident: int
    files: int
    threads: int
    series: int
    wal: int

    def line(self) -> str:
        """A row of the table."""
        mebibytes = self.resident / 2**20
        return f"| {self.requests} | {mebibytes:.1f} | {self.files} | {self.threads} | {self.series} | {self.wal} |"


def main() -> int:
    """Ask until so many requests are answered, then tell the slope."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endurance")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--warm", type=int, default=200_000, help="requests after which memory is looked at")
    options = parser.parse_args()
    print("| requests | resident, MiB | open files | threads | series | WAL, bytes |\n|--:|--:|--:|--:|--:|--:|")
    with (
        tempfile.TemporaryDirectory() as folder,
        scene(Kind.PLAIN, (), Path(folder) / "endurance", Findings()) as where,
        gateway(where.folder / "gateway", where.upstream) as ours,
    ):
        load = Load(_mixed(ours.create_jobs(JOBS), ours.teams.all_keys()), CONNECTIONS, where.folder)
        held, done = [], 0
        while done < options.requests:
            done += load.run(ours.target, where.upstream, _SECONDS).requests
            urllib.request.urlopen(urllib.request.Request(f"{ours.admin}/reload", method="POST"), timeout=60).close()
            held.append(_look(ours, done))
            print(held[-1].line(), flush=True)
    later = [each for each in held if each.requests >= options.warm]
    slope = linear_regression([each.requests for each in later], [each.resident for each in later]).slope
    print(f"\nAfter {options.warm} requests memory grows by {slope * 100_000 / 2**20:.2f} MiB for each 100 000.")
    return 0


def _mixed(jobs: list[Job], keys: list[str]) -> list[Ask]:
    """Ten rounds of a poll of every job, with listings, creates and calls that are refused among them."""
    asks = []
    for number in range(10 * len(jobs)):
        job = jobs[number % len(jobs)]
        asks.append(Ask("GET", f"/requests/{job.id}", job.key))
        if number % 2:
            asks.append(Ask("GET", "/models", keys[number % len(keys)]))
        if number % 500 == 0:
            asks.append(Ask("POST", "/requests", keys[number % len(keys)]))
        if number % 10 == 0:
            asks.append(Ask("GET", f"/requests/{job.id}", "nobodys-key"))
            asks.append(Ask("GET", f"/requests/unknown-{number}", job.key))
    return asks


def _look(ours: Gateway, requests: int) -> Held:
    process = Path(f"/proc/{ours.process.pid}")
    with urllib.request.urlopen(f"{ours.admin}/metrics", timeout=60) as answer:
        series = sum(not line.startswith(b"#") for line in answer)
    return Held(
        requests=requests,
        resident=ours.process.resident_bytes(),
        files=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        series=series,
        wal=(ours.policies.parent / "gateway.db-wal").stat().st_size,
    )


if __name__ == "__main__":
    raise SystemExit(main())
