"""The stand-in GMI upstream: the request-queue API, its storage host and its bad days, on a loopback port.

It shares nothing with the gateway: every id, price and error text here is the upstream's, written down a
second time on purpose, so that a mistake in the gateway cannot hide behind the same mistake in its stand-in.
"""

from gateway.simulator.faults import Fault, Kind, parse_fault
from gateway.simulator.serve import Simulator, serve_forever
from gateway.simulator.settings import Settings

__all__ = ["Fault", "Kind", "Settings", "Simulator", "parse_fault", "serve_forever"]
