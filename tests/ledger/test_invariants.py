"""Any order of creates, answers, ends and crashes leaves the ledger as a dictionary would have it."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from gateway.core.claims import Claim, OnSettle
from gateway.core.lifecycle import OPEN, TRANSITIONS, Outcome, State, money_is_kept
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import (
    Admitted,
    Full,
    InProgress,
    KeptAnswer,
    Mismatch,
    NewReservation,
    OwnedByAnother,
    Owner,
    Replay,
    Reserved,
    Sighting,
)
from tests.ledger.samples import DAY, NOW, claim, placement, reservation

CEILINGS = {"slots": 3, "count": 8, "money": 20}
REFUSAL = KeptAnswer(400, (), b"refused")
TEAMS = st.sampled_from(["red", "blue"])
KEYS = st.sampled_from([None, None, "k1", "k2"])
IDS = ("r1", "r2", "r3", "r4")
REQUESTS = st.sampled_from(IDS)


@dataclass
class Kept:
    """What the model knows of one reservation."""

    new: NewReservation
    state: State = State.RESERVED
    outcome: Outcome | None = None
    request_id: str | None = None

    def holds(self, claim: Claim) -> bool:
        if self.state is not State.SETTLED:
            return self.state in OPEN
        assert self.outcome is not None
        kept = money_is_kept(self.outcome, charge_failed=self.new.charge_failed)
        return claim.on_settle is OnSettle.KEEP or (claim.on_settle is OnSettle.ADJUST and kept)


@dataclass
class Model:
    """What the ledger should hold."""

    kept: dict[str, Kept] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, float, KeptAnswer | None]] = field(default_factory=dict)

    def used(self) -> dict[str, int]:
        used: dict[str, int] = {}
        for one in self.kept.values():
            for each in one.new.claims:
                used[each.counter] = used.get(each.counter, 0) + each.amount * one.holds(each)
        return used

    def reserve(self, new: NewReservation, now: float) -> Reserved:
        key = (new.team, new.idempotency_key or "")
        first, since, reply = self.keys.get(key, ("", now - DAY, None))
        if new.idempotency_key is not None and now - since < DAY:
            if self.kept[first].new.body_digest != new.body_digest:
                return Mismatch()
            return Replay(reply) if reply is not None else InProgress(self.kept[first].state)
        used = self.used()
        for each in new.claims:
            value = used.get(each.counter, 0)
            if each.ceiling is not None and each.amount > 0 and value + each.amount > each.ceiling:
                return Full(each, value)
        self.kept[new.id] = Kept(new)
        if new.idempotency_key is not None:
            self.keys[key] = (new.id, now, None)
        return Admitted({each.counter: used.get(each.counter, 0) + each.amount for each in new.claims})

    def move(self, name: str, target: State) -> bool:
        one = self.kept[name]
        if target not in TRANSITIONS[one.state]:
            return False
        one.state = target
        return True

    def answer(self, name: str, reply: KeptAnswer | None) -> None:
        for key, (first, since, _) in list(self.keys.items()):
            if first == name and reply is not None:
                self.keys[key] = (first, since, reply)
            elif first == name:
                del self.keys[key]

    def owner(self, request_id: str) -> Kept | None:
        return next((one for one in self.kept.values() if one.request_id == request_id), None)

    def place(self, name: str, request_id: str, outcome: Outcome | None) -> bool:
        holder = self.owner(request_id)
        if holder is not None and holder.new.id == name:
            return True
        if holder is not None or State.PLACED not in TRANSITIONS[self.kept[name].state]:
            self.move(name, State.UNKNOWN)
            return False
        self.move(name, State.PLACED)
        self.kept[name].request_id = request_id
        self.answer(name, KeptAnswer(200, (), request_id.encode()))
        if outcome is not None:
            self.settle(request_id, outcome)
        return True

    def settle(self, request_id: str, outcome: Outcome) -> bool:
        holder = self.owner(request_id)
        if holder is None or not self.move(holder.new.id, State.SETTLED):
            return False
        holder.outcome = outcome
        return True


class LedgerMachine(RuleBasedStateMachine):
    names = Bundle("names")

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.life = 0
        self.now = NOW
        self.model = Model()
        self.start()

    def start(self) -> None:
        self.file = self.folder / f"{self.life}.db"
        self.ledger = Ledger(f"sqlite:///{self.file}")
        self.runner.run(self.ledger.open())

    @rule(
        target=names,
        team=TEAMS,
        price=st.integers(0, 12),
        key=KEYS,
        body=st.sampled_from([b"a", b"b"]),
        charge_failed=st.booleans(),
    )
    def reserve(self, team: str, price: int, key: str | None, body: bytes, *, charge_failed: bool) -> object:
        name = str(len(self.model.kept))
        claims = (
            claim(f"{team}/count", 1, CEILINGS["count"]),
            claim(f"{team}/money", price, CEILINGS["money"], OnSettle.ADJUST),
            claim(f"{team}/slots", 1, CEILINGS["slots"], OnSettle.RETURN, None),
        )
        new = reservation(
            name, *claims, team=team, price=price, key=key, body=body, charge_failed=charge_failed, at=self.now
        )
        expected = self.model.reserve(new, self.now)
        assert self.runner.run(self.ledger.reserve(new, self.now)) == expected
        return name if isinstance(expected, Admitted) else multiple()

    @rule(name=names)
    def send(self, name: str) -> None:
        assert self.runner.run(self.ledger.mark_sent(name, self.now)) == self.model.move(name, State.SENT)

    @rule(name=names)
    def doubt(self, name: str) -> None:
        assert self.runner.run(self.ledger.doubt(name, self.now)) == self.model.move(name, State.UNKNOWN)

    @rule(name=names)
    def take_over(self, name: str) -> None:
        """Whatever the create was when somebody found it: unsent it comes back, sent it stays charged."""
        unsent = self.model.kept[name].state is State.RESERVED
        expected = self.model.move(name, State.RELEASED if unsent else State.UNKNOWN)
        if expected and unsent:
            self.model.answer(name, None)
        assert self.runner.run(self.ledger.jobless.take_over(name, self.now)) == expected

    @rule(name=names, reply=st.sampled_from([None, REFUSAL]))
    def release(self, name: str, reply: KeptAnswer | None) -> None:
        expected = self.model.move(name, State.RELEASED)
        if expected:
            self.model.answer(name, reply)
        assert self.runner.run(self.ledger.release(name, self.now, reply)) == expected

    @rule(name=names, request_id=REQUESTS, outcome=st.sampled_from([None, None, *Outcome]))
    def place(self, name: str, request_id: str, outcome: Outcome | None) -> None:
        expected = None if self.model.place(name, request_id, outcome) else OwnedByAnother()
        placed = placement(name, request_id, outcome, KeptAnswer(200, (), request_id.encode()))
        assert self.runner.run(self.ledger.place(placed, self.now)) == expected

    @rule(request_id=REQUESTS, outcome=st.sampled_from(Outcome))
    def settle(self, request_id: str, outcome: Outcome) -> None:
        settling = self.ledger.settle(Sighting(request_id, outcome.value, None), outcome, self.now)
        assert self.runner.run(settling) == self.model.settle(request_id, outcome)

    @rule(hours=st.sampled_from([1, 13, 24]))
    def wait(self, hours: int) -> None:
        self.now += hours * 3600.0

    @rule()
    def purge(self) -> None:
        self.runner.run(self.ledger.purge(self.now))

    @rule()
    def crash(self) -> None:
        """What kill -9 leaves is what lies on the disk: a copy of it goes on, nothing is closed first."""
        self.life += 1
        for suffix in ("", "-wal"):
            source = Path(f"{self.file}{suffix}")
            if source.exists():
                shutil.copy(source, self.folder / f"{self.life}.db{suffix}")
        self.runner.run(self.ledger.close())
        self.start()

    @invariant()
    def counters_are_conserved_and_below_their_ceilings(self) -> None:
        expected = self.model.used()
        assert self.runner.run(self.ledger.used(list(expected))) == expected
        assert all(value <= CEILINGS[name.partition("/")[2]] for name, value in expected.items())
        assert self.runner.run(self.ledger.verify()) == []

    @invariant()
    def every_request_id_has_its_one_owner(self) -> None:
        for request_id, owner in self.runner.run(self.owners()).items():
            kept = self.model.owner(request_id)
            found = None if owner is None else (owner.team, owner.outcome)
            assert found == (None if kept is None else (kept.new.team, kept.outcome))

    async def owners(self) -> dict[str, Owner | None]:
        return {request_id: await self.ledger.owner_of(request_id) for request_id in IDS}

    @invariant()
    def what_is_open_is_found_again(self) -> None:
        waiting = (State.RESERVED, State.SENT, State.UNKNOWN)
        expected = {name: one.state for name, one in self.model.kept.items() if one.state in waiting}
        found = self.runner.run(self.ledger.jobless.all())
        assert {entry.id: entry.state for entry in found} == expected

    def teardown(self) -> None:
        self.runner.run(self.ledger.close())
        self.runner.close()
        shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestLedger = LedgerMachine.TestCase
