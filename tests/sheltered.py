"""The gateway as `serve` runs it, in a world where every name is the receiver at the port `RECEIVER` on this machine.

Run as `python -m tests.sheltered`.
"""

import asyncio
import os
import sys

from gateway.app import serve
from gateway.outbound import Endpoint, Outside
from gateway.settings import read_settings

if __name__ == "__main__":
    environment = dict(os.environ)
    places = [Endpoint("127.0.0.1", int(environment.pop("RECEIVER")))]
    outside = Outside(lambda _: places, lambda _: True)
    sys.exit(asyncio.run(serve(read_settings(environment, {}), environment, None, outside)))
