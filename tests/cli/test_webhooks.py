import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Connection

from gateway.core.addresses import Target
from gateway.core.lifecycle import Outcome
from gateway.core.webhooks import Standing
from gateway.ledger import deliveries
from gateway.ledger.delivery_values import Attempt, DeliveryState, Notice, Wanted
from gateway.ledger.ledger import Ledger
from tests.command_line import NOW, Shell
from tests.ledger.samples import create, reservation
from tests.postgres import Server, postgres

__all__ = ["postgres"]

TARGET = Target("hooks.example.com", "/in?token=t0ken")
NEXT = "2026-11-23T12:01:00Z"
"""When another gateway may try what one has claimed."""


@pytest.fixture
async def ids(shell: Shell, request: pytest.FixtureRequest) -> AsyncIterator[dict[str, str]]:
    """Three deliveries of `red` and `blue`, of which `red`'s were given up; ids by event."""
    url = shell.environment["GATEWAY_LEDGER"]
    if getattr(request, "param", "sqlite") == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        url = shell.environment["GATEWAY_LEDGER"] = server.ledger()
    ledger = Ledger(url)
    await ledger.open()
    for team, event in (("red", "one"), ("red", "two"), ("blue", "three")):
        await ledger.outbox.notify(Notice("limit", event, team, TARGET, b"{}"), NOW)
    claimed = await ledger.outbox.claim(await ledger.outbox.due(NOW, [], [], [], 10), NOW, NOW + 60)
    for delivery in claimed:
        if delivery.team == "red":
            await ledger.outbox.conclude(delivery, Attempt(Standing.FAILED, 410, "answered 410", None), NOW)
    found = {each.id: each for each in claimed}
    yield {each.team: each.id for each in found.values()}
    await ledger.close()


async def standings(shell: Shell) -> list[str]:
    listed = await shell.run_beside("webhooks", "list", "--format", "json")
    return sorted(each["state"] for each in json.loads(listed.out)["webhooks"])


async def test_the_list_shows_hosts_alone(shell: Shell, ids: dict[str, str]) -> None:
    listed = await shell.run_beside("webhooks", "list", "--team", "blue")
    assert listed.status == 0
    header, line = listed.out.splitlines()
    assert header.split() == ["ID", "CREATED", "TEAM", "HOST", "REQUEST", "STATE", "TRIED", "NEXT", "STATUS", "PROBLEM"]
    assert line.split() == [ids["blue"], "2026-11-23T12:00:00Z", "blue", TARGET.host, "-", "due", "1", NEXT, "-", "-"]
    assert "t0ken" not in (await shell.run_beside("webhooks", "list", "--format", "json")).out


async def test_a_list_that_is_cut_says_so(shell: Shell, ids: dict[str, str]) -> None:
    listed = await shell.run_beside("webhooks", "list", "--state", "failed", "--limit", "1")
    assert listed.out.splitlines()[-1] == "… and 1 more; see --limit"
    assert " 410  answered 410" in listed.out


async def test_one_delivery_is_made_due_again(shell: Shell, ids: dict[str, str]) -> None:
    again = await shell.run_beside("webhooks", "redeliver", ids["red"])
    assert (again.status, again.out, again.err) == (0, "due again: 1\n", "")
    assert await standings(shell) == ["due", "due", "failed"]


@pytest.mark.parametrize("ids", ["sqlite", "postgresql"], indirect=True)
async def test_of_those_that_are_named_no_other_is_read(
    shell: Shell, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def page(connection: Connection, wanted: Wanted) -> tuple[list[DeliveryState], int]:
        found, total = deliveries.page(connection, wanted)
        read.extend(each.id for each in found)
        return found, total

    monkeypatch.setattr("gateway.ledger.reader.deliveries", SimpleNamespace(page=page))
    monkeypatch.setattr("gateway.cli.webhooks._BITE", 1)
    named = [ids["red"], ids["blue"]]
    again = await shell.run_beside("webhooks", "redeliver", *named, named[0])
    assert (again.status, again.out) == (0, "due again: 2\n")
    assert sorted(read) == sorted(named)


@pytest.mark.parametrize("ids", ["sqlite", "postgresql"], indirect=True)
async def test_all_of_a_team_or_a_state_are(shell: Shell, ids: dict[str, str]) -> None:
    again = await shell.run_beside("webhooks", "redeliver", "--all", "--team", "red", "--format", "json")
    assert (again.status, json.loads(again.out)) == (0, {"redelivered": 2})
    assert await standings(shell) == ["due"] * 3
    none = await shell.run_beside("webhooks", "redeliver", "--all", "--state", "failed")
    assert none.out == "due again: 0\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["redeliver"], "name ids to redeliver, or --all with --team, --state or --request-id"),
        (["redeliver", "--all"], "name ids to redeliver, or --all with --team, --state or --request-id"),
        (["redeliver", "--all", "--team", "nope"], "the ledger knows no team `nope`"),
        (["list", "--team", "nope"], "the ledger knows no team `nope`"),
        (["redeliver", "x", "--request-id", "r"], "name ids to redeliver, or --all"),
        (["redeliver", "x", "--all", "--team", "red"], "name ids to redeliver, or --all"),
        (["redeliver", "x", "--team", "red"], "name ids to redeliver, or --all"),
        (["redeliver", "msg_x"], "no delivery that could be sent again is called msg_x\n"),
        (
            ["redeliver", "r1"],
            "no delivery that could be sent again is called r1; an id begins with `msg_`: see `list`\n",
        ),
        (["list", "msg_x"], "`list` takes no ids and no --all; choose with --team, --state and --request-id"),
    ],
)
async def test_what_is_unclear_is_refused(shell: Shell, ids: dict[str, str], words: list[str], problem: str) -> None:
    refused = await shell.run_beside("webhooks", *words)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"gmi-gateway webhooks: {problem}")
    assert await standings(shell) == ["due", "failed", "failed"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["list", "--limit", "99999999999999999999"], "argument --limit: must be a whole number of at most 9 digits"),
        (["list", "--limit", "-3"], "argument --limit: must be a whole number of at most 9 digits"),
        (["list", "--limit", "many"], "argument --limit: must be a whole number of at most 9 digits"),
        (["list", "--team", "r\udcffd"], "argument --team: must be text in UTF-8, not 'r\\udcffd'"),
        (["redeliver", "--all", "--team", "\udcff"], "argument --team: must be text in UTF-8"),
        (["redeliver", "\udcff"], "argument ID: must be text in UTF-8"),
    ],
)
async def test_what_no_ledger_can_be_asked_is_refused(
    shell: Shell, ids: dict[str, str], words: list[str], problem: str
) -> None:
    refused = await shell.run_beside("webhooks", *words)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.splitlines()[-1].startswith(f"gmi-gateway webhooks: error: {problem}")


async def test_none_of_them_are_listed_where_none_are_wanted(shell: Shell, ids: dict[str, str]) -> None:
    listed = await shell.run_beside("webhooks", "list", "--limit", "0", "--format", "json")
    assert json.loads(listed.out) == {"webhooks": [], "total": 3}


def test_without_a_ledger_none_is_made(shell: Shell, tmp_path: Path) -> None:
    refused = shell.run("webhooks", "redeliver", "msg_x")
    assert refused.status == 2
    assert refused.err.startswith("gmi-gateway webhooks: there is no ledger at ")
    assert not (tmp_path / "gateway.db").exists()


async def test_those_of_one_job_are_listed_and_sent_again(shell: Shell, ids: dict[str, str]) -> None:
    ledger = Ledger(shell.environment["GATEWAY_LEDGER"])
    await ledger.open()
    job = await create(ledger, replace(reservation("a", team="green"), webhook=TARGET), Outcome.SUCCESS)
    await ledger.close()
    listed = await shell.run_beside("webhooks", "list", "--request-id", job, "--format", "json")
    assert [(each["team"], each["request_id"]) for each in json.loads(listed.out)["webhooks"]] == [("green", job)]
    again = await shell.run_beside("webhooks", "redeliver", "--all", "--request-id", job)
    assert (again.status, again.out) == (0, "due again: 1\n")
    none = await shell.run_beside("webhooks", "redeliver", "--all", "--team", "green", "--state", "failed")
    assert (none.status, none.out) == (0, "due again: 0\n")


async def test_in_a_ledger_without_any_team_a_new_one_has_none(shell: Shell) -> None:
    ledger = Ledger(shell.environment["GATEWAY_LEDGER"])
    await ledger.open()
    await ledger.close()
    none = await shell.run_beside("webhooks", "redeliver", "--all", "--team", "new")
    assert (none.status, none.out) == (0, "due again: 0\n")
