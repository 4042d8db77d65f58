"""The command, with less patience: what a gateway waits for others takes it seconds instead of minutes.

Run as `python -m tests.hurried`. Everything else is the command's own, but for a wall clock that a test may set.
"""

import os
import sys
from pathlib import Path

from gateway.core import freshness
from gateway.ledger import instances

freshness.SHORTEST_INTERVAL = 0.5
instances.LEASE = 3.0

from gateway import app, duties, recovery  # noqa: E402 - they read these when they are imported
from gateway.__main__ import main  # noqa: E402
from gateway.ledger import looks  # noqa: E402
from gateway.server import workers  # noqa: E402
from tests.clocks import FileClock  # noqa: E402

duties.ATTEND_EVERY = 0.5
duties.SETTLE_EVERY = 0.2
recovery.PATIENCE = 0.5
recovery.PATIENCE_WHEN_REFUSED = 0.5
recovery.GRACE = 5.0
looks.FIRST_LOOK = 0.5
workers.FIRST_PAUSE = workers.LONGEST_PAUSE = 0.1

if clock := os.environ.pop(FileClock.VARIABLE, ""):
    app._now = FileClock(Path(clock))

if __name__ == "__main__":
    sys.exit(main())
