"""The event loop of the standard library and the one the gateway runs on: their transports differ in what they do."""

import asyncio
from typing import Any

import pytest
import uvloop


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    """Runs each test of a module that imports this once on either."""
    return request.param()
