"""Upstream for a command: the same client as the gateway's, with the credentials the policies name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway import __version__
from gateway.cli.invocation import Invocation
from gateway.core.policy import PolicySet
from gateway.telemetry import Metrics
from gateway.upstream.client import Limits, Upstream
from gateway.upstream.credentials import Credentials
from gateway.upstream.transport import build_transport

AT_ONCE = 8
"""Calls a command has under way: upstream limits rates per organisation, and the gateway lives off the same ones."""


@asynccontextmanager
async def open_upstream(call: Invocation, policy: PolicySet, seconds: float) -> AsyncIterator[Upstream]:
    """Upstream, each call bounded by `seconds`."""
    credentials = Credentials(policy.credentials.get, call.environment)
    limits = Limits(timeout=seconds, in_flight=AT_ONCE)
    transport = build_transport(AT_ONCE * 2)
    upstream = Upstream(call.settings.upstream_url, transport, credentials, Metrics(__version__), limits)
    try:
        yield upstream
    finally:
        await upstream.close()
