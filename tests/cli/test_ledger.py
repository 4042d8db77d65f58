import sqlite3
from pathlib import Path

import pytest

from gateway.ledger.engine import WANTED
from tests.command_line import Shell
from tests.conftest import House
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.fixture
def file(shell: Shell) -> Path:
    return shell.policies.parent / "gateway.db"


def test_migrate_creates_a_ledger_and_does_nothing_the_second_time(shell: Shell, file: Path) -> None:
    first, second = shell.run("ledger", "migrate"), shell.run("ledger", "migrate")
    assert (first.status, first.out, first.err) == (0, "the ledger was created with schema 0006\n", "")
    assert (second.status, second.out, second.err) == (0, "the ledger has schema 0006\n", "")
    assert shell.run("ledger", "verify").out == "right: there is no counter yet\n"


async def test_verify_finds_nothing_while_a_gateway_runs(shell: Shell, house: House) -> None:
    verified = await shell.run_beside("ledger", "verify")
    assert (verified.status, verified.out) == (0, "every counter is right: 2 added up again\n")


async def test_verify_names_each_difference(shell: Shell, house: House, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE counters SET value = value + 5 WHERE name LIKE 'USD/ads/%'")
    connection.close()
    verified = await shell.run_beside("ledger", "verify")
    difference, summary = verified.out.splitlines()
    assert verified.status == 1
    assert difference.startswith("USD/ads//")
    assert difference.endswith(": is 70005, should be 70000")
    assert summary == "found wrong: 1"


@pytest.mark.parametrize("action", ["migrate", "verify"])
def test_what_is_no_ledger_is_refused(shell: Shell, file: Path, action: str) -> None:
    file.write_bytes(b"a text, not a database" * 100)
    refused = shell.run("ledger", action)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith(f"gmi-gateway ledger: {file} cannot be ")


def test_verify_does_not_touch_a_ledger_of_another_schema(shell: Shell, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    refused = shell.run("ledger", "verify")
    assert refused.status == 2
    assert refused.err == f"gmi-gateway ledger: {file} has schema 9999, not 0006: upgrade the gateway\n"


def test_a_url_that_names_no_file_is_refused(shell: Shell) -> None:
    refused = shell.run("ledger", "verify", "--ledger", "sqlite:///:memory:")
    assert (refused.status, refused.err) == (2, f"gmi-gateway ledger: {WANTED}\n")


def test_a_database_is_looked_after_as_a_file_is(shell: Shell, postgres: Server) -> None:
    url = postgres.empty_database()
    assert shell.run("ledger", "verify", "--ledger", url).err.startswith("gmi-gateway ledger: there is no ledger at ")
    assert shell.run("ledger", "migrate", "--ledger", url).out == "the ledger was created with schema 0006\n"
    assert shell.run("ledger", "migrate", "--ledger", url).out == "the ledger has schema 0006\n"
    verified = shell.run("ledger", "verify", "--ledger", url)
    assert (verified.status, verified.out) == (0, "right: there is no counter yet\n")
