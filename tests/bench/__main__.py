"""`make bench`: runs what is asked for, prints the tables, and writes the page of a whole run."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.many_teams import measure_many_teams
from tests.bench.measures import Run
from tests.bench.ours import OURS, can_have_workers
from tests.bench.peers import PEERS
from tests.bench.report import aims_lines, pace_lines, remarks, result_lines, write_page
from tests.bench.rounds import Options, carry_out
from tests.bench.scenarios import QUICK, SCENARIOS
from tests.bench.sharing import measure_sharing
from tests.bench.starting import measure_starts
from tests.bench.upstream import NGINX
from tests.bench.workers import measure_workers

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
OTHERS = ("sharing", "starting", "workers", "teams")
"""What is measured beside the scenarios."""


def main() -> int:
    """Run; exit 1 if the gateway failed a call, 2 if a tool is missing."""
    options = _options()
    missing = [tool for tool in ("wrk", "openssl", "taskset", "curl") if not shutil.which(tool)]
    missing += [] if NGINX else ["nginx"]
    if missing:
        print(f"make bench needs {', '.join(missing)}; on Debian: apt-get install nginx wrk openssl curl util-linux")
        return 2
    if (os.cpu_count() or 1) < 2:
        print("make bench needs two cores: one for what is measured, one for the load and the upstream")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        run = _run(options, Path(folder))
    for lines in (aims_lines(run, all_of_them=False), result_lines(run), pace_lines(run), remarks(run)):
        print("\n".join(lines), end="\n\n")
    if options.page is not None:
        arguments = " ".join(sys.argv[1:])
        write_page(run, f'make bench ARGS="{arguments}"' if arguments else "make bench", options.page)
    return 1 if _failures(run) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = (*(scenario.name for scenario in SCENARIOS), *OTHERS)
    parser.add_argument("--only", type=_list_of(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument("--peers", type=_list_of(tuple(PEERS)), default=tuple(PEERS), help=f"of {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round beside nginx, to see that it works")
    parser.add_argument("--page", type=Path, help="where to write the page [default of a whole run: docs]")
    options = parser.parse_args()
    whole = not options.quick and options.only == names and options.peers == tuple(PEERS)
    options.page = options.page or (PAGE if whole else None)
    if options.quick:
        os.environ.setdefault("BENCH_PYTHON", sys.executable)
        options.only, options.peers, options.rounds, options.seconds = QUICK, ("nginx",), 1, 1
    return options


def _list_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of names with commas between them, each of which is known."""

    def parse(text: str) -> tuple[str, ...]:
        unknown = set(text.split(",")) - set(known)
        if unknown:
            raise argparse.ArgumentTypeError(f"knows no {', '.join(sorted(unknown))}; it knows {', '.join(known)}")
        return tuple(name for name in known if name in text.split(","))

    return parse


def _run(options: argparse.Namespace, folder: Path) -> Run:
    most_jobs = 3_000 if options.quick else 20_000
    how = Options(options.peers, options.rounds, options.seconds, most_jobs)
    run = Run(carry_out([scenario for scenario in SCENARIOS if scenario.name in options.only], how, folder))
    if "sharing" in options.only:
        run.sharing = measure_sharing(how, folder, run.findings)
    if "starting" in options.only:
        run.starts = measure_starts(how, folder)
    if "workers" in options.only and can_have_workers():
        run.workers = measure_workers(how, folder)
    if "teams" in options.only:
        run.teams = measure_many_teams(how, folder)
    return run


def _failures(run: Run) -> int:
    """Calls of the gateway's that failed."""
    return sum(result.errors for rounds in run.findings.results.values() for result in rounds[OURS])


if __name__ == "__main__":
    raise SystemExit(main())
