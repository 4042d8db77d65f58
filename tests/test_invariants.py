"""A whole gateway on SQLite, led through any order of events: the invariants hold after each of them."""

import pytest
from hypothesis import settings

from tests.flow_machine import FlowMachine

pytestmark = pytest.mark.timeout(300)
FlowMachine.TestCase.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
TestGateway = FlowMachine.TestCase
