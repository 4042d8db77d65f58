"""The same rules over PostgreSQL, with two gateways that take turns and connections that end at any time."""

import itertools
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import rule

from gateway.ledger.engine import ledger_url
from gateway.ledger.ledger import Ledger
from tests.ledger.test_invariants import LedgerMachine
from tests.postgres import Server

pytestmark = pytest.mark.timeout(300)


class ReplicasMachine(LedgerMachine):
    server: ClassVar[Server]

    def start(self) -> None:
        self.url = self.server.ledger_database()
        self.ledgers = (Ledger(self.url), Ledger(self.url))
        self.turns = itertools.cycle(self.ledgers)
        for ledger in self.ledgers:
            self.runner.run(ledger.open())

    @property
    def ledger(self) -> Ledger:  # type: ignore[override]  # each use is the other one's turn
        return next(self.turns)

    @rule()
    def crash(self) -> None:
        """Every connection ends; what was committed stays, and nobody notices."""
        name = ledger_url(self.url).database
        self.server.run(f"SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = '{name}'")

    def teardown(self) -> None:
        for ledger in self.ledgers:
            self.runner.run(ledger.close())
        super().teardown()


class TestReplicas(ReplicasMachine.TestCase):  # type: ignore[misc,valid-type]  # hypothesis makes it
    settings = settings(max_examples=10, stateful_step_count=30, deadline=None)

    @pytest.fixture(autouse=True)
    def _server(self, postgres: Server) -> None:
        ReplicasMachine.server = postgres
