import asyncio
import random
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from gateway.core.claims import Claim
from gateway.core.money import MICRO, format_usd, parse_usd
from gateway.ledger import counters
from gateway.ledger.ledger import Ledger
from gateway.ledger.operation import Undo
from gateway.ledger.schema import metadata
from gateway.ledger.values import Admitted, Full
from tests.ledger.samples import NOW, claim, reservation, reserve


async def test_uploads_are_taken_all_or_none_and_given_back(ledger: Ledger) -> None:
    day, key = claim("uploads/day", ceiling=2), claim("uploads/key", ceiling=1)
    assert await ledger.take([day]) == Admitted({"uploads/day": 1})
    assert await ledger.take([key, day]) == Admitted({"uploads/day": 2, "uploads/key": 1})
    assert await ledger.take([claim("uploads/day", ceiling=5), key]) == Full(key, 1)
    assert await ledger.used(["uploads/day", "uploads/key"]) == {"uploads/day": 2, "uploads/key": 1}
    await ledger.give_back([key, day])
    assert await ledger.used(["uploads/day", "uploads/key"]) == {"uploads/day": 1, "uploads/key": 0}
    assert await ledger.verify() == []


async def test_giving_back_more_than_there_is_changes_nothing(ledger: Ledger) -> None:
    await ledger.take([claim("c")])
    await ledger.give_back([claim("c", 2), claim("never used")])
    assert await ledger.used(["c", "never used"]) == {"c": 1, "never used": 0}


async def test_as_many_counters_are_looked_up_as_a_policy_has(ledger: Ledger) -> None:
    names = [f"jobs/team-{number}//2026-11/" for number in range(100_000)]  # PostgreSQL takes 65 535 parameters
    taken = names[::30_000]
    await ledger.take([claim(name) for name in taken])
    used = await ledger.used(names)
    assert list(used) == names
    assert [name for name, value in used.items() if value] == taken


async def test_requests_are_taken_ahead_as_far_as_they_fit(ledger: Ledger) -> None:
    assert await ledger.take_ahead("r", 6, 10, NOW) == (6, 6)
    assert await ledger.take_ahead("r", 6, 10, NOW) == (4, 10)
    assert await ledger.take_ahead("r", 6, 10, NOW) == (0, 10)
    await ledger.give_ahead_back({"r": 3})
    assert await ledger.take_ahead("r", 6, 10, NOW) == (3, 10)
    assert await ledger.verify() == []


async def test_a_lowered_rate_grants_nothing_and_takes_nothing_away(ledger: Ledger) -> None:
    await ledger.take_ahead("r", 6, 10, NOW)
    assert await ledger.take_ahead("r", 1, 3, NOW) == (0, 6)
    assert await ledger.take_ahead("none", 1, 0, NOW) == (0, 0)


async def test_qu9_processes_that_take_ahead_together_never_pass_the_rate(ledger: Ledger) -> None:
    grants = await asyncio.gather(*(ledger.take_ahead("r", 7, 100, NOW) for _ in range(40)))
    assert sum(granted for granted, _ in grants) == 100


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 60)), max_size=20))
def test_what_is_granted_ahead_is_the_smaller_of_asked_and_left(asks: list[tuple[int, int]]) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    value = 0
    with engine.begin() as connection:
        for amount, ceiling in asks:
            granted = max(0, min(amount, ceiling - value))
            value += granted
            assert counters.take_ahead(connection, "r", amount, ceiling, None) == (granted, value)


async def test_used_tells_every_counter_asked_for(ledger: Ledger) -> None:
    await reserve(ledger, reservation("a", claim("c", 3)))
    assert await ledger.used(["c", "d"]) == {"c": 3, "d": 0}
    assert await ledger.used([]) == {}


class Purses:
    """Budgets as exact decimal numbers of dollars, beside the counters of the same names."""

    PRICES = ("0.1", "0.07", "0.000001", "0.152", "0.333333", "1.234567", "12.5")
    CEILING = Decimal("133.333333")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.spent = {f"USD/{number}": Decimal(0) for number in range(40)}
        self.taken: list[tuple[str, str]] = []
        self.refused = 0
        self._claims = {
            (name, text): (claim(name, parse_usd(text), parse_usd(str(self.CEILING))),)
            for name in self.spent
            for text in self.PRICES
        }

    def take(self, purchases: list[tuple[str, str]]) -> None:
        """Take them together, and by itself each that was left out, as the writing threads do."""
        orders = [self._claims[each] for each in purchases]
        for each, order, used in zip(purchases, orders, counters.take_together(self.connection, orders), strict=True):
            self._note(*each, self._alone(order) if used is None else used)

    def _alone(self, order: tuple[Claim, ...]) -> dict[str, int] | None:
        try:
            return counters.take(self.connection, order, direct=False)
        except Undo:
            return None

    def _note(self, name: str, text: str, used: dict[str, int] | None) -> None:
        after = self.spent[name] + Decimal(text)
        if used is None:
            assert after > self.CEILING
            self.refused += 1
        else:
            assert used[name] == after * MICRO
            assert after <= self.CEILING
            self.spent[name] = after
            self.taken.append((name, text))

    def give_back(self, returned: list[tuple[str, str]]) -> None:
        counters.give_back(self.connection, [(name, parse_usd(text)) for name, text in returned])
        for name, text in returned:
            self.spent[name] -= Decimal(text)


def test_bu2_a_million_takes_and_returns_are_exact_to_the_micro_dollar() -> None:
    dice = random.Random(20261126)
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    operations = 0
    with engine.begin() as connection:
        purses = Purses(connection)
        names = list(purses.spent)
        while operations < 1_000_000:
            purses.take(list(zip(dice.choices(names, k=1000), dice.choices(purses.PRICES, k=1000), strict=True)))
            dice.shuffle(purses.taken)
            returned = [purses.taken.pop() for _ in range(len(purses.taken) // 2)]
            purses.give_back(returned)
            operations += 1000 + len(returned)
            for name, value in counters.values_of(connection, names).items():
                assert Decimal(format_usd(value)) == purses.spent[name]
    assert 0 < purses.refused < operations // 4
