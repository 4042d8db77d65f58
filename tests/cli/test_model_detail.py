import asyncio
from argparse import Namespace

from gateway.cli.invocation import Invocation
from gateway.cli.model_detail import find_detail
from gateway.core.policy import Credential, PolicySet, Source, Team
from gateway.simulator import Settings, Simulator
from tests.command_line import NOW
from tests.conftest import REAL_KEY

TEAM = Team("films", allow=("*",))
POLICY = PolicySet({"films": TEAM}, {"default": Credential("default", (Source("env", "KEY"),))})
NOT_KNOWN = "So the parameters the model requires, and its own price, are not known here."


def asked(environment: dict[str, str]) -> Invocation:
    return Invocation(Namespace(), environment, NOW)


def test_an_upstream_that_cannot_be_reached_is_said() -> None:
    call = asked({"KEY": REAL_KEY, "GATEWAY_UPSTREAM_URL": "http://127.0.0.1:1"})
    detail, note = find_detail(call, POLICY, TEAM, "Veo3", None)
    assert (detail, note) == (None, f"The gateway cannot connect to upstream; try again shortly. {NOT_KNOWN}")


def test_without_a_key_nobody_is_asked() -> None:
    detail, note = find_detail(asked({"GATEWAY_UPSTREAM_URL": "http://127.0.0.1:1"}), POLICY, TEAM, "Veo3", None)
    assert (detail, note) == (None, f"There is no upstream key for the credential 'default' here. {NOT_KNOWN}")


async def test_a_model_upstream_does_not_have_is_said() -> None:
    async with Simulator(Settings(keys=(REAL_KEY,))) as simulator:
        call = asked({"KEY": REAL_KEY, "GATEWAY_UPSTREAM_URL": simulator.url})
        detail, note = await asyncio.to_thread(find_detail, call, POLICY, TEAM, "Veo9", None)
    assert (detail, note) == (None, f"Upstream answered 404 when asked about the model. {NOT_KNOWN}")
