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
        _leave_out_httpx_command()
    now = time.time()  # noqa: TID251 - most commands never load the app, which has the clock otherwise
    return run_command(sys.argv[1:] if argv is None else argv, os.environ, now)


def _bear_signals() -> None:
    """Until the gateway handles them itself: loading takes a second, in which an early SIGHUP must not kill it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _leave_out_httpx_command() -> None:
    """httpx loads its own command line wherever it finds what that needs, rich among it, which is here for ours.

    Told that there is no such module it goes without, as it does where nothing of that is installed: five megabytes.
    """
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # what `import` takes for absent


if __name__ == "__main__":
    sys.exit(main())
