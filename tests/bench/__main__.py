"""`make bench`: CPU per request of the gateway with everything on, beside nginx merely forwarding, in one run.

Both run on one core, load and upstream on the other. Rounds alternate between the servers; medians and the span of the
per-round ratios are printed as a Markdown table.
"""

import argparse
import json
import shutil
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from tests.bench.load import Load, Result, measure
from tests.bench.servers import KEY, Q, Server, gateway, nginx, upstream

_CREATE = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"model-1","payload":{"prompt":"a lighthouse at dawn"}}'
"""
_EACH_ANOTHER = """
local ids = {%s}
local next_id = 0
request = function()
  next_id = next_id %% #ids + 1
  return wrk.format("GET", "%s/requests/" .. ids[next_id])
end
"""


def main() -> int:
    """Run the scenarios; exit 1 if any answer was an error."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--jobs", type=int, default=20_000, help="live jobs the forwarded polls go round")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.jobs = 1, 1, 500
    missing = [tool for tool in ("wrk", "nginx") if not shutil.which(tool, path="/usr/bin:/usr/sbin:/usr/local/bin")]
    if missing:
        print(f"make bench needs {' and '.join(missing)}; on Debian: apt-get install {' '.join(missing)}")
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with upstream(folder), nginx(folder) as peer, gateway(folder) as ours:
            results = _run(options, folder, peer, ours)
            resident = ours.resident_bytes()
    _print(results, resident)
    return 1 if any(result.errors for pair in results.values() for result in pair[1]) else 0


Results = dict[str, tuple[list[Result], list[Result]]]


def _run(options: argparse.Namespace, folder: Path, peer: Server, ours: Server) -> Results:
    scenarios = {"cached listing": Load(f"{Q}/models"), "shared poll": Load(f"{Q}/requests/{_create(ours)}")}
    with ThreadPoolExecutor(32) as pool:
        jobs = list(pool.map(lambda _: _create(ours), range(options.jobs)))
    ids = ",".join(f'"{job}"' for job in jobs)
    scenarios["forwarded poll"] = Load(Q, script=_EACH_ANOTHER % (ids, Q))
    scenarios["create"] = Load(f"{Q}/requests", script=_CREATE)
    results: Results = {name: ([], []) for name in scenarios}
    for round_number in range(options.rounds):
        for name, load in scenarios.items():
            for server, kept in zip((peer, ours), results[name], strict=True):
                kept.append(measure(server, load, options.seconds, folder))
        print(f"round {round_number + 1} of {options.rounds}", file=sys.stderr)
    return results


def _create(server: Server) -> str:
    request = urllib.request.Request(
        f"{server.url}{Q}/requests",
        data=b'{"model":"model-1","payload":{"prompt":"a lighthouse at dawn"}}',
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["request_id"])


def _print(results: Results, resident: int) -> None:
    print("| scenario | server | requests/s | p50 ms | p99 ms | CPU µs/request | times nginx (span) |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, (peers, ours) in results.items():
        ratios = [our.cpu_us / max(peer.cpu_us, 1e-9) for peer, our in zip(peers, ours, strict=True)]
        span = f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        for server, rows, ratio in (("nginx", peers, "1"), ("gateway", ours, span)):
            print(
                f"| {name} | {server} | {median(row.requests_per_second for row in rows):.0f} "
                f"| {median(row.p50 for row in rows) * 1e3:.2f} | {median(row.p99 for row in rows) * 1e3:.2f} "
                f"| {median(row.cpu_us for row in rows):.0f} | {ratio} |"
            )
    print(f"\nThe gateway's memory afterwards: {resident / 1024**2:.0f} MiB.")


if __name__ == "__main__":
    raise SystemExit(main())
