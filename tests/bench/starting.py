"""What a gateway is before its first call: how soon it is ready, and how much memory it holds."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.ours import gateway
from tests.bench.rounds import Findings, Options, scene
from tests.bench.upstream import Kind

_SETTLED = 15.0
"""Seconds after which an idle gateway is taken for one: by then its memory is in huge pages."""


@dataclass(frozen=True)
class Start:
    """Seconds from the command to the first 200 of `/readyz`, and resident bytes when it has been idle for a while."""

    seconds: float
    resident: int


def measure_starts(options: Options, folder: Path) -> list[Start]:
    """As many starts as rounds, each with a ledger of its own."""
    starts = []
    with scene(Kind.PLAIN, (), folder / "starting", Findings()) as where:
        for _ in range(options.rounds):
            place = where.folder / "gateway"
            began = time.perf_counter()
            with gateway(place, where.upstream) as ours:
                ready = time.perf_counter() - began
                time.sleep(_SETTLED)
                starts.append(Start(ready, ours.process.resident_bytes()))
            shutil.rmtree(place)
    return starts
