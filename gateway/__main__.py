"""`gmi-gateway`, also as `python -m gateway`."""

import os
import signal
import sys
import time
from collections.abc import Sequence

from gateway.cli.parser import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 all well, 1 problems found, 2 it cannot run."""
    if argv is None and sys.argv[1:2] == ["serve"]:
        _bear_signals()
    now = time.time()  # noqa: TID251 - most commands never load the app, which has the clock otherwise
    return run_command(sys.argv[1:] if argv is None else argv, os.environ, now)


def _bear_signals() -> None:
    """Until the gateway handles them itself: loading takes a second, in which an early SIGHUP must not kill it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
