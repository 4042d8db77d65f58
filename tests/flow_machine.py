"""Any order of creates, outcomes, crashes, clocks, reloads and faults, through whole gateways on one ledger.

Upstream knows what it made, and the machine what it asked for. After each step the rows of the ledger must have gone
only where they may, every counter must be the sum of what they hold, and every answer the one those sums foretell.

Every rule is legal at any time, and none draws by what the gateways have come to: how far a task has got when a rule
is chosen must not change what is drawn.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from gateway import failpoints, following, recovery
from gateway.failpoints import Action, Point
from gateway.ledger.ledger import LedgerUnavailable
from gateway.reloading import reload_policies
from tests.fake_upstream import Q
from tests.flow_model import DAY, GENERATIONS, KEYS, WAITING, Order, judge, living
from tests.flow_world import FlowWorld, check_secrets
from tests.pretended_upstream import MODELS

OTHERS = ["done", "lost", "lost-made", "late-made", "no-id", "stolen", "400", "402", "503", "504"]
TEAMS = st.sampled_from(list(KEYS))
SENT = st.sampled_from(["ok"] * 6 + OTHERS)
ORDERS: Any = {
    "team": TEAMS,
    "model": st.sampled_from(MODELS),
    "prompt": st.sampled_from(["a", "b"]),
    "key": st.sampled_from([None, None, "k1", "k2"]),
}


class FlowMachine(FlowWorld):
    @rule(outcome=SENT | st.just("unsent"), **ORDERS)
    def create(self, outcome: str, team: str, model: str, prompt: str, key: str | None) -> None:
        life, order = self.step(), self.order(team, model, prompt, key)
        expected = self.model.expected(order, self.policy, self.clock.now)
        self.upstream.outcome = self.possible(outcome)
        faulty = life.writer.faults > 0
        answer = self.do(life, life.create(order, KEYS[team]))
        self.conclude(order, self.upstream.outcome, answer)
        if answer is not None and not (faulty and answer.status_code == 503):
            judge(expected, self.upstream.outcome, answer)

    @rule(outcome=SENT, gone=st.booleans(), **ORDERS)
    def create_slowly(self, outcome: str, *, gone: bool, **asked: Any) -> None:
        """Upstream takes its time for a create, or answers it at last, perhaps when the client has hung up."""
        if self.upstream.held:
            self.answer(outcome, gone=gone)
        else:
            self.begin_create(self.order(**asked))

    def begin_create(self, order: Order) -> None:
        life = self.step()
        expected = self.model.expected(order, self.policy, self.clock.now)
        self.upstream.outcome = "held"
        self.upstream.arrived.clear()
        faulty = life.writer.faults > 0

        async def under_way() -> httpx.Response | None:
            task = asyncio.get_running_loop().create_task(life.create(order, KEYS[order.team]))
            arrival = asyncio.ensure_future(self.upstream.arrived.wait())
            await asyncio.wait((task, arrival), return_when=asyncio.FIRST_COMPLETED)
            arrival.cancel()
            if task.done():
                return task.result()
            life.held[order.name] = order, task
            return None

        answer = self.do(life, under_way())
        self.model.learn(order, self.clock.now)
        if answer is not None and not (faulty and answer.status_code == 503):
            judge(expected, "held", answer)

    def answer(self, outcome: str, *, gone: bool) -> None:
        self.step()
        (life,) = (life for life in self.lives if life.held)
        (name,) = life.held
        order, call = life.held.pop(name)
        outcome = self.possible(outcome)
        # Upstream has the job, so its answer is told before a ledger that is away can say whose the job is.
        told = "ok" if outcome == "stolen" and life.writer.faults else outcome

        async def answered() -> httpx.Response | None:
            if gone:
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            self.upstream.held.pop(name).set_result(outcome)
            return None if gone else await call

        answer = self.do(life, answered())
        self.conclude(order, outcome, answer)
        if answer is not None:
            judge(("go", None), told, answer)

    @rule(team=TEAMS, number=st.integers(0, 9))
    def poll(self, team: str, number: int) -> None:
        """A team reads a job, its own or another's, and its list."""
        life = self.step()
        jobs = list(self.upstream.jobs)
        request_id = jobs[number % len(jobs)] if jobs else str(uuid4())
        owner = next((row for row in self.model.rows.values() if row.request_id == request_id), None)
        answer = self.do(life, life.get(KEYS[team], f"{Q}/requests/{request_id}"))
        self.model.learn(None, self.clock.now)
        if answer is None:
            return
        if owner is not None and owner.order.team == team:
            assert (answer.status_code, answer.json()["request_id"]) == (200, request_id)
        else:
            none = self.run(life.get(KEYS[team], f"{Q}/requests/{uuid4()}"))
            assert (answer.status_code, answer.content) == (404, none.content)
        listed = self.run(life.get(KEYS[team], f"{Q}/requests"))
        mine = {row.request_id for row in self.model.rows.values() if row.order.team == team} - {None}
        assert {each["request_id"] for each in listed.json()["requests"]} == mine
        check_secrets(answer)

    @rule(status=st.sampled_from(["success", "failed", "cancelled"]), number=st.integers(0, 9))
    def end_job(self, status: str, number: int) -> None:
        alive = [job for job in self.upstream.jobs.values() if job.status == "queued"]
        if alive:
            alive[number % len(alive)].status = status

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def follow(self, seconds: float) -> None:
        life = self.step()
        self.pass_time(seconds)
        self.do(life, _round(following.follow(life.gw)))
        self.model.learn(None, self.clock.now)

    @rule(seconds=st.sampled_from([1.0, 12.0, 400.0]))
    def recover(self, seconds: float) -> None:
        self.pass_time(seconds)
        life = self.step()
        self.do(life, _round(recovery.recover(life.gw)))
        self.model.learn(None, self.clock.now)

    @rule(point=st.sampled_from(Point))
    def crash_at(self, point: Point) -> None:
        """The next gateway that comes there is gone."""
        failpoints._plan[point] = Action.KILL

    @rule(made=st.booleans())
    def crash(self, *, made: bool) -> None:
        self.break_off(self.step(), made=made)
        self.model.learn(None, self.clock.now)

    @rule()
    def restart(self) -> None:
        life = self.step()
        if not life.held:
            self.run(life.end())
            self.lives[self.lives.index(life)] = self.begin()

    @rule(faults=st.integers(1, 2))
    def fail_writes(self, faults: int) -> None:
        self.step().writer.faults = faults

    @rule(rules=st.sampled_from(GENERATIONS))
    def reload(self, rules: Any) -> None:
        self.policy = rules
        self.write_policies()
        for life in self.lives:
            self.run(reload_policies(life.gw))

    @rule()
    def reload_nonsense(self) -> None:
        (self.folder / "policies" / "red.yaml").write_text("team: red\nlimits: null\n")
        for life in self.lives:
            self.run(reload_policies(life.gw))
        self.write_policies()

    @rule(seconds=st.sampled_from([-3600.0, 3600.0, DAY]))
    def set_clock(self, seconds: float) -> None:
        """Not while a create is lost: its job is told by its time, too."""
        if not any(row.state in WAITING for row in self.model.rows.values()):
            self.clock.now += seconds

    @invariant()
    def the_books_are_right(self) -> None:
        rows = self.model.read("SELECT name, value FROM counters WHERE value <> 0")
        assert {str(name): value for name, value in rows} == self.model.counters()
        assert self.run(self.lives[0].gw.ledger.verify()) == []

    def teardown(self) -> None:
        try:
            self.comes_to_rest()
        finally:
            super().teardown()

    def comes_to_rest(self) -> None:
        """Once faults stop, nothing stays open but by upstream's word, and recovering again changes nothing."""
        failpoints._plan.clear()
        for life in self.lives:
            life.writer.faults = 0
        if self.upstream.held:
            self.answer("ok", gone=False)
        for _ in range(6 * len(self.lives)):
            self.recover(200.0)
        assert not [row for row in self.model.rows.values() if row.state in WAITING]
        for job in self.upstream.jobs.values():
            job.status = "success" if job.status == "queued" else job.status
        for _ in range(4 * len(self.lives)):
            self.follow(60.0)
        assert living(self.model.rows.values()) == []
        self.the_books_are_right()


async def _round(work: Coroutine[Any, Any, None]) -> None:
    """One round of a duty, which comes again if the ledger failed."""
    with suppress(LedgerUnavailable):
        await work
