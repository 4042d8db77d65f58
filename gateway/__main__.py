"""`gmi-gateway`, also as `python -m gateway`."""

import os
import sys
import time
from collections.abc import Sequence

from gateway.cli.parser import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 all well, 1 problems found, 2 it cannot run."""
    now = time.time()  # noqa: TID251 - most commands never load the app, which has the clock otherwise
    return run_command(sys.argv[1:] if argv is None else argv, os.environ, now)


if __name__ == "__main__":
    sys.exit(main())
