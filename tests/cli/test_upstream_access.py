from argparse import Namespace

import pytest

from gateway.cli.invocation import Invocation
from gateway.cli.upstream_access import open_upstream
from gateway.core.policy import Credential, PolicySet, Source
from gateway.simulator import Settings, Simulator, parse_fault
from gateway.upstream.client import UpstreamFailure
from tests.command_line import NOW
from tests.conftest import REAL_KEY

POLICY = PolicySet({}, {"default": Credential("default", (Source("env", "KEY"),))})


async def test_it_asks_with_the_policys_credential() -> None:
    async with Simulator(Settings(keys=(REAL_KEY,))) as simulator:
        call = Invocation(Namespace(), {"KEY": REAL_KEY, "GATEWAY_UPSTREAM_URL": simulator.url}, NOW)
        async with open_upstream(call, POLICY, 5.0) as upstream:
            assert (await upstream.list_models("default")).status == 200
        assert upstream.in_flight == 0


async def test_it_waits_no_longer_than_asked() -> None:
    slow = Settings(keys=(REAL_KEY,), faults=(parse_fault("list_models:latency:30"),))
    async with Simulator(slow) as simulator:
        call = Invocation(Namespace(), {"KEY": REAL_KEY, "GATEWAY_UPSTREAM_URL": simulator.url}, NOW)
        async with open_upstream(call, POLICY, 0.2) as upstream:
            with pytest.raises(UpstreamFailure, match="did not answer in time"):
                await upstream.list_models("default")
