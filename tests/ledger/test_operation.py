import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from sqlite3 import OperationalError

import pytest
from sqlalchemy import create_engine

from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.operation import (
    Operation,
    Separate,
    Together,
    answer,
    do_together,
    groups_of,
    measured,
    report_mistake,
)


async def test_each_loop_is_told_its_own_results() -> None:
    here: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    operation = Operation(lambda _: 1, None, asyncio.get_running_loop(), here)
    operation.result = 1

    async def elsewhere() -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        other = Operation(lambda _: 2, None, asyncio.get_running_loop(), future)
        other.result = 2
        answer([operation, other])
        return await future

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == 2
    assert await here == 1


async def test_a_fault_is_told_once_and_not_to_those_who_went_away() -> None:
    loop = asyncio.get_running_loop()
    staying: asyncio.Future[None] = loop.create_future()
    leaving: asyncio.Future[None] = loop.create_future()
    operations = [Operation(lambda _: None, None, loop, future) for future in (staying, leaving)]
    for operation in operations:
        operation.error = KeyError("told")
    leaving.cancel()
    answer(operations)
    answer(operations)
    assert isinstance((await asyncio.gather(staying, return_exceptions=True))[0], KeyError)
    assert leaving.cancelled()


@dataclass(frozen=True)
class End:
    """What the one who waited was told before, how the operation came to its end, and whether it is taken back."""

    told: str
    failed: bool
    doubtful: bool
    taken_back: bool


ENDS = [
    End("nothing", failed=False, doubtful=False, taken_back=False),
    End("nothing", failed=False, doubtful=True, taken_back=False),
    End("nothing", failed=True, doubtful=False, taken_back=False),
    End("nothing", failed=True, doubtful=True, taken_back=True),
    End("not done", failed=False, doubtful=False, taken_back=True),
    End("not done", failed=False, doubtful=True, taken_back=True),
    End("not done", failed=True, doubtful=False, taken_back=False),
    End("not done", failed=True, doubtful=True, taken_back=True),
    End("gone", failed=False, doubtful=False, taken_back=False),
    End("gone", failed=True, doubtful=True, taken_back=False),
]


@pytest.mark.parametrize("end", ENDS)
async def test_what_may_be_done_is_taken_back_where_it_was_denied(end: End) -> None:
    taken_back: list[str] = []
    loop = asyncio.get_running_loop()
    operation = Operation(lambda _: None, None, loop, loop.create_future(), doubtful=end.doubtful)
    operation.take_back = partial(taken_back.append, "once")
    operation.error = LedgerUnavailable("lost") if end.failed else None
    if end.told == "gone":
        operation.future.cancel()
    if end.told == "not done":
        operation.future.set_exception(LedgerUnavailable("too late"))
    answer([operation])
    await asyncio.gather(operation.future, return_exceptions=True)
    await asyncio.sleep(0)
    assert taken_back == ["once"] * end.taken_back


def test_an_operation_is_measured_however_it_ends() -> None:
    told: list[str] = []
    with suppress(LedgerUnavailable), measured("reserve", lambda name, _: told.append(name)):
        raise LedgerUnavailable("lost")
    with measured("reserve", None):
        assert told == ["reserve"]


def test_a_loop_that_has_ended_is_passed_over() -> None:
    loop = asyncio.new_event_loop()
    operation = Operation(lambda _: None, None, loop, loop.create_future())
    loop.close()
    answer([operation])
    assert not operation.future.done()


@pytest.mark.parametrize(
    ("fault", "said"), [(Separate(), 0), (OperationalError("locked"), 0), (KeyError("canary"), 1)], ids=repr
)
def test_a_mistake_in_doing_operations_together_is_logged(
    fault: Exception, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("ERROR", "gateway"):
        report_mistake(fault, (OperationalError,))
    assert [record.getMessage() for record in caplog.records] == ["ledger operations done apart"] * said
    assert "canary" not in str([vars(record) for record in caplog.records])


async def test_what_goes_together_stands_where_its_first_stood() -> None:
    def operation(name: str, kind: Callable[..., list[str]] | None) -> Operation[str]:
        loop = asyncio.get_running_loop()
        together = None if kind is None else Together(kind, name)
        return Operation(lambda _: name, None, loop, loop.create_future(), together=together)

    def shout(_: object, names: Sequence[str]) -> list[str]:
        return [name.upper() for name in names]

    def echo(_: object, names: Sequence[str]) -> list[str]:
        return list(names)

    kinds = [("a", shout), ("b", None), ("c", echo), ("d", shout), ("e", None)]
    operations = [operation(name, kind) for name, kind in kinds]
    groups = groups_of(operations)
    assert groups == [[operations[0], operations[3]], [operations[1]], [operations[2]], [operations[4]]]
    with create_engine("sqlite://").connect() as connection:
        assert [do_together(groups[place], connection) for place in (0, 2)] == [["A", "D"], ["c"]]
