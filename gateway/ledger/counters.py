"""Counters: taken below a ceiling in one guarded statement, never read first and written later."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Connection, Double, case, cast, insert, select, update

from gateway.core.claims import Claim
from gateway.ledger.common_sql import OnConflict, is_among
from gateway.ledger.operation import Undo
from gateway.ledger.schema import counters
from gateway.ledger.statement import Statement, instant, integer, switch, text
from gateway.ledger.values import Admitted, Full

UNBOUNDED = 2**62
"""The ceiling of a claim that has none, and of one that takes nothing. No sum of amounts below it overflows."""

_name, _amount, _ceiling = text("counter"), integer("amount"), integer("ceiling")
_ends = cast(instant("ends"), Double)  # PostgreSQL would take a NULL here for a text
_value = counters.c.value

_new = insert(counters).from_select(
    ["name", "value", "window_ends", "direct"],
    select(_name, _amount, _ends, switch("direct")).where(_amount <= _ceiling),
)
_TAKE = Statement(
    _new.ext(OnConflict("name", set={"value": _value + _amount}, where=_value + _amount <= _ceiling)).returning(_value)
)

_fitting = case((_amount <= _ceiling, _amount), else_=_ceiling)
_remaining = case((_value + _amount <= _ceiling, _amount), else_=_ceiling - _value)
_TAKE_AHEAD = Statement(
    insert(counters)
    .from_select(
        ["name", "value", "window_ends", "direct", "granted"],
        select(_name, _fitting, _ends, switch("direct"), _fitting).where(_ceiling > 0),
    )
    .ext(OnConflict("name", set={"value": _value + _remaining, "granted": _remaining}, where=_value < _ceiling))
    .returning(counters.c.granted, _value)
)

_GIVE_BACK = Statement(
    update(counters).values(value=_value - _amount).where(counters.c.name == _name, _value >= _amount)
)
_VALUE = Statement(select(_value).where(counters.c.name == _name))


def take(connection: Connection, claims: Iterable[Claim], *, direct: bool) -> dict[str, int]:
    """Take every claim, or raise Undo(Full) for the first that does not fit. The counters' values afterwards.

    A claim of nothing is never refused: it only tells the value. Counters are taken in the order of their names, so
    two transactions never wait for each other in a circle.
    """
    used: dict[str, int] = {}
    for claim in sorted(claims, key=lambda claim: claim.counter):
        row = _TAKE.row(
            connection,
            counter=claim.counter,
            amount=claim.amount,
            ceiling=UNBOUNDED if claim.ceiling is None or claim.amount == 0 else claim.ceiling,
            ends=claim.window_ends,
            direct=direct,
        )
        if row is None:
            raise Undo(Full(claim, value_of(connection, claim.counter)))
        used[claim.counter] = row[0]
    return used


def take_together(connection: Connection, orders: Sequence[Sequence[Claim]]) -> list[dict[str, int] | None]:
    """`take` for several at once, with one statement to a counter: what each one alone would be given, in their order.

    None, with nothing taken, for those of which a counter has not enough for all: alone, some may still fit.
    """
    demands: dict[str, _Demand] = {}
    for claim in chain.from_iterable(orders):
        demands.setdefault(claim.counter, _Demand()).add(claim)
    values: dict[str, int] = {}
    for name, demand in sorted(demands.items()):
        row = _TAKE.row(
            connection, counter=name, amount=demand.amount, ceiling=demand.ceiling, ends=demand.ends, direct=False
        )
        if row is not None:
            values[name] = row[0] - demand.amount
    fitting = [all(claim.counter in values for claim in claims) for claims in orders]
    too_much: Counter[str] = Counter()
    for claims, fits in zip(orders, fitting, strict=True):
        too_much.update({claim.counter: claim.amount for claim in claims if not fits and claim.counter in values})
    give_back(connection, too_much.items())
    return [_add(values, claims) if fits else None for claims, fits in zip(orders, fitting, strict=True)]


def _add(values: dict[str, int], claims: Iterable[Claim]) -> dict[str, int]:
    """Count these claims in the values; what the counters they are on have come to."""
    for claim in claims:
        values[claim.counter] += claim.amount
    return {claim.counter: values[claim.counter] for claim in claims}


@dataclass(slots=True)
class _Demand:
    """What several claims on one counter ask for together, and the lowest of their ceilings."""

    amount: int = 0
    ceiling: int = UNBOUNDED
    ends: float | None = None

    def add(self, claim: Claim) -> None:
        self.amount += claim.amount
        self.ends = claim.window_ends
        if claim.ceiling is not None and claim.amount > 0:
            self.ceiling = min(self.ceiling, claim.ceiling)


def take_directly(connection: Connection, claims: Iterable[Claim]) -> Admitted:
    """Take claims that no reservation holds, all or none: uploads. Raises Undo(Full) as `take` does."""
    return Admitted(take(connection, claims, direct=True))


def give_back(connection: Connection, amounts: Iterable[tuple[str, int]]) -> None:
    """Take these amounts off their counters. A counter that is history by now is left alone."""
    _GIVE_BACK.run_many(connection, [{"counter": name, "amount": amount} for name, amount in sorted(amounts)])


def take_ahead(
    connection: Connection, counter: str, amount: int, ceiling: int, window_ends: float | None
) -> tuple[int, int]:
    """As much of `amount` as still fits, and the counter's value afterwards."""
    row = _TAKE_AHEAD.row(connection, counter=counter, amount=amount, ceiling=ceiling, ends=window_ends, direct=True)
    return (0, value_of(connection, counter)) if row is None else (row[0], row[1])


def value_of(connection: Connection, counter: str) -> int:
    """What is used of a counter; 0 for one nobody has used."""
    row = _VALUE.row(connection, counter=counter)
    return 0 if row is None else row[0]


def values_of(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """What is used of each counter."""
    found = connection.execute(select(counters.c.name, _value).where(is_among(counters.c.name, names)))
    return dict.fromkeys(names, 0) | {row.name: row.value for row in found}
