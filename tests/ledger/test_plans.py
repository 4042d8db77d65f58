"""What is asked all the time is found by an index, on either database, however much there is to look through."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from gateway.core.lifecycle import Outcome
from gateway.ledger import counters, deliveries, jobless, jobs, looks, overview, replies, reservations, retention, usage
from gateway.ledger.ledger import Ledger
from gateway.ledger.operation import Work
from gateway.ledger.values import Sighting
from tests.ledger.samples import NOW, claim, create, money, placement, reservation, slot

NEW = reservation("new", slot(5), money(300, 1000), key="new")
SEEN = Sighting("request-a", "success", b"{}")


def page(team: str | None, model: str | None) -> Work[Any]:
    return lambda connection: jobs.page(connection, team, model, 50, 0)


ASKED: dict[str, Work[Any]] = {
    "owners": lambda connection: jobs.owners(connection, ["request-a", "request-b"]),
    "job": lambda connection: jobs.job(connection, "request-a"),
    "list": page("red", None),
    "list of a model": page("red", "Veo3"),
    "list of all": page(None, None),
    "earlier": lambda connection: replies.earlier(connection, NEW, NOW),
    "used": lambda connection: counters.values_of(connection, ["red/at-once"]),
    "open_counts": usage.open_counts,
    "backlog": deliveries.backlog,
    "webhook health": lambda connection: overview.webhook_health(connection, NOW),
    "open_reservations": jobless.everywhere,
    "unattended": lambda connection: jobless.unattended(connection, NOW, 60),
    "jobless": lambda connection: jobless.sent(connection, "default", "Veo3"),
    "ended": lambda connection: looks.ended(connection, NOW, NOW + 5),
    "usage of a team": lambda connection: usage.usage(connection, "red", NOW - 1, NOW + 1),
    "usage of all": lambda connection: usage.usage(connection, None, NOW - 1, NOW + 1),
}
DONE: dict[str, Work[Any]] = {
    "reserve": lambda connection: reservations.reserve(connection, NEW, NOW, "here"),
    "mark_sent": lambda connection: reservations.mark_sent_together(connection, [("b", NOW)]),
    "place": lambda connection: jobs.place_together(connection, [(placement("c", "request-c"), NOW)]),
    "settle": lambda connection: jobs.end(connection, SEEN, Outcome.SUCCESS, NOW),
    "release": lambda connection: reservations.release(connection, "b", NOW, None),
    "take_over": lambda connection: reservations.take_over(connection, "a", NOW),
    "observe": lambda connection: jobs.observe(connection, SEEN, NOW),
    "take looks": lambda connection: looks.take(connection, NOW + 60, 10),
    "begin looks": lambda connection: looks.begin(connection, ["request-a", "request-b"], NOW),
    "purge": lambda connection: retention.purge(connection, NOW),
}


def on_sqlite(connection: Connection, work: Work[Any]) -> list[str]:
    """The plans of all statements that the work runs."""
    driver: Any = connection.connection.driver_connection
    statements: list[str] = []
    driver.set_trace_callback(statements.append)
    work(connection)
    driver.set_trace_callback(None)
    explainable = [each for each in statements if re.match("SELECT|INSERT|UPDATE|DELETE|WITH", each)]
    return [line[3] for each in explainable for line in driver.execute(f"EXPLAIN QUERY PLAN {each}")]


def on_postgresql(connection: Connection, work: Work[Any]) -> list[str]:
    """The same; there are too few rows for an index to be worth while, so one is taken wherever there is one."""
    driver: Any = connection.connection.driver_connection
    plans: list[str] = []
    driver.execute("LOAD 'auto_explain'")
    for setting in ("enable_seqscan = off", "auto_explain.log_min_duration = 0", "client_min_messages = log"):
        driver.execute(f"SET LOCAL {setting}")
    driver.add_notice_handler(lambda notice: plans.append(notice.message_primary))
    work(connection)
    driver.execute("SELECT 1")  # the last plan is told when the next statement begins
    return [line.strip() for plan in plans for line in plan.splitlines()]


def explain(work: Work[Any]) -> Callable[[Connection], list[str]]:
    def explained(connection: Connection) -> list[str]:
        return (on_sqlite if connection.dialect.name == "sqlite" else on_postgresql)(connection, work)

    return explained


@pytest.mark.parametrize("name", [*ASKED, *DONE])
async def test_no_table_is_read_from_end_to_end(ledger: Ledger, name: str) -> None:
    await create(ledger, reservation("a", slot(5), claim("day"), key="a"))
    for waiting in "bc":
        await ledger.reserve(reservation(waiting, slot(5), key=waiting), NOW)
    await ledger.mark_sent("c", NOW)
    run = ledger._read if name in ASKED else ledger._write
    plans = await run("test", explain({**ASKED, **DONE}[name]))
    assert plans
    tables = "jobs|reservations|claims|counters|idempotency|deliveries"
    assert [line for line in plans if re.search(rf"SCAN ({tables})$|Seq Scan on ({tables})\b", line)] == []
