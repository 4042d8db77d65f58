import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy import create_engine

from gateway.ledger.operation import Operation, Together, answer, do_together, groups_of


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


def test_a_loop_that_has_ended_is_passed_over() -> None:
    loop = asyncio.new_event_loop()
    operation = Operation(lambda _: None, None, loop, loop.create_future())
    loop.close()
    answer([operation])
    assert not operation.future.done()


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
