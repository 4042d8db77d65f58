"""A whole gateway on SQLite, led through any order of events: the invariants hold after each of them."""

from hypothesis import settings

from tests.flow_machine import FlowMachine

FlowMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestGateway = FlowMachine.TestCase
