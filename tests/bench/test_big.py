from gateway.ledger.ledger import Ledger
from tests.bench.big import LIVING, fill
from tests.ledger.samples import run_sql
from tests.postgres import postgres
from tests.site import database

__all__ = ["database", "postgres"]


async def test_what_it_fills_is_a_ledger_whose_counters_are_right(database: str) -> None:
    ledger = Ledger(database)
    await ledger.open()
    fill(database, 1000, 10)
    assert await ledger.verify() == []
    jobs, total = await ledger.list_jobs("team-5", None, 50, 0)
    assert (len(jobs), total) == (50, 100)
    assert run_sql(database, "SELECT count(*) FROM jobs WHERE settled_at IS NULL") == [(LIVING,)]
    await ledger.close()
