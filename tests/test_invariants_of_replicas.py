"""Two whole gateways that take turns on one PostgreSQL: the same events, and the same invariants."""

from typing import ClassVar

import pytest
from hypothesis import settings

from tests.flow_machine import FlowMachine
from tests.postgres import Server, postgres

__all__ = ["postgres"]

pytestmark = pytest.mark.timeout(300)


class ReplicasMachine(FlowMachine):
    server: ClassVar[Server]
    gateways = 2

    def new_ledger(self) -> str:
        return self.server.ledger()


class TestReplicas(ReplicasMachine.TestCase):  # type: ignore[misc,valid-type]  # hypothesis makes it
    settings = settings(max_examples=5, stateful_step_count=30, deadline=None)

    @pytest.fixture(autouse=True)
    def _server(self, postgres: Server) -> None:
        ReplicasMachine.server = postgres
