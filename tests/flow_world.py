"""Whole gateways on one ledger that take turns, as a state machine sees them; its rules are in `tests.flow_machine`."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import uuid4

import httpx
from hypothesis.stateful import RuleBasedStateMachine, initialize

from gateway import failpoints, insistence
from gateway.core.lifecycle import State
from tests.conftest import REAL_KEY, REAL_ORG
from tests.flow_lives import Clock, Crash, Life, begin
from tests.flow_model import GENERATIONS, KEYS, PRICING, Model, Order
from tests.pretended_upstream import PretendedUpstream

T = TypeVar("T")

START = 1_800_014_400.0
"""2027-01-15, noon: no step leads into another month."""


class FlowWorld(RuleBasedStateMachine):
    """`gateways` of them share the ledger and take turns."""

    gateways = 1

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock(START)
        self.upstream = PretendedUpstream(lambda: self.clock.now)
        self.model = Model(self.new_ledger(), self.upstream)
        self.policy = GENERATIONS[0]
        self.turns = 0
        self.crashed = False
        self.patches: list[Any] = [
            patch("os.kill", self.crash_now),
            patch.object(failpoints, "_plan", {}),
            patch.object(insistence, "_AGAIN", (0.01,)),
        ]
        for each in self.patches:
            each.start()
        (self.folder / "policies").mkdir()
        (self.folder / "policies" / "gateway.yaml").write_text(PRICING)
        self.write_policies()
        self.lives = [self.begin() for _ in range(self.gateways)]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives. (`Runner.run` would ask for signals each time, which takes longer than most work.)"""
        return self.runner.get_loop().run_until_complete(work)

    def crash_now(self, _pid: int, _number: int) -> None:
        """In place of the signal that ends a process."""
        self.crashed = True
        raise Crash

    def new_ledger(self) -> str:
        return f"sqlite:///{self.folder / 'gateway.db'}"

    def begin(self) -> Life:
        return self.run(begin(self.model.url, self.folder / "policies", self.upstream, self.clock))

    def write_policies(self) -> None:
        for name in KEYS:
            (self.folder / "policies" / f"{name}.yaml").write_text(self.policy.text(name))

    def step(self) -> Life:
        """A moment later, the next one's turn. All that live say so to the others."""
        self.clock.advance(2.0)
        for life in self.lives:
            faults, life.writer.faults = life.writer.faults, 0
            self.run(life.gw.ledger.renew(self.clock.now))
            life.writer.faults = faults
        self.turns += 1
        return self.lives[self.turns % len(self.lives)]

    def pass_time(self, seconds: float) -> None:
        """Not more than a create may take while upstream holds one."""
        self.clock.advance(min(seconds, 12.0) if self.upstream.held else seconds)

    def do(self, life: Life, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work gives; None if the gateway came to a fail point in it, and another one began."""
        result: T | None = None
        with suppress(Crash):
            result = self.run(work)
            self.run(life.quiet())
        if self.crashed:  # perhaps in what nobody waits for
            self.break_off(life, made=self.turns % 2 == 0)
            return None
        return result

    def break_off(self, life: Life, *, made: bool) -> None:
        self.crashed = False
        failpoints._plan.clear()
        self.run(life.break_off())
        for name in life.held:
            del self.upstream.held[name]
            if made:
                self.upstream.make(name)
        self.lives[self.lives.index(life)] = self.begin()

    def order(self, team: str, model: str, prompt: str, key: str | None) -> Order:
        body = {"model": model, "payload": {"prompt": f"{team} {prompt}"}}
        return Order(str(uuid4()), team, model, json.dumps(body).encode(), key)

    def possible(self, outcome: str) -> str:
        """A job can be stolen only of somebody who has one."""
        owned = [row.request_id for row in self.model.rows.values() if row.request_id is not None]
        self.upstream.stolen = owned[0] if owned else ""
        return "no-id" if outcome == "stolen" and not owned else outcome

    def conclude(self, order: Order, outcome: str, answer: httpx.Response | None) -> None:
        """What became of a create that was sent with this outcome, if it was."""
        self.model.learn(order, self.clock.now)
        row = next((row for row in self.model.rows.values() if row.order is order), None)
        if row is not None and outcome == "400" and row.state is State.RELEASED:
            row.refusal = b'{"error": "no"}'
        if answer is not None:
            check_secrets(answer)

    def teardown(self) -> None:
        for life in self.lives:
            self.run(life.end())
        for each in self.patches:
            each.stop()
        self.model.engine.dispose()
        self.runner.close()
        shutil.rmtree(self.folder)


def check_secrets(answer: httpx.Response) -> None:
    """No key is shown to whoever asked."""
    shown = answer.text + str(answer.headers)
    assert not [secret for secret in (REAL_KEY, REAL_ORG, *KEYS.values()) if secret in shown]
