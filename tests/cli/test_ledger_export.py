import csv
import io
import json

from gateway.cli.ledger_export import COLUMNS
from gateway.ledger.ledger import Ledger
from tests.command_line import Shell
from tests.conftest import House
from tests.ledger.samples import create, reservation


async def test_a_line_for_each_month_team_key_and_model(shell: Shell, house: House) -> None:
    shown = await shell.run_beside("ledger", "export")
    assert (shown.status, shown.err) == (0, "")
    header, *lines = shown.out.splitlines()
    assert header == ",".join(COLUMNS)
    assert [line.partition(",")[2] for line in lines] == [
        "ads,main,seedream-5.0-lite,2,2,0,0,0,0,0.07,0.00",
        "news,main,luma-ray-2,1,0,1,0,0,5,0.00,0.00",
    ]


async def test_one_team_as_json_says_the_same(shell: Shell, house: House) -> None:
    text = (await shell.run_beside("ledger", "export", "--team", "ads", "--format", "json")).out
    rows = json.loads(text, parse_int=str, parse_float=str)
    table = csv.DictReader(io.StringIO((await shell.run_beside("ledger", "export", "--team", "ads")).out))
    assert rows == list(table)
    assert list(rows[0]) == list(COLUMNS)


async def test_a_micro_dollar_is_written_out_and_an_open_job_is_held(shell: Shell) -> None:
    ledger = Ledger(shell.environment["GATEWAY_LEDGER"])
    await ledger.open()
    await create(ledger, reservation("a", team="films", price=1, at=shell.now))
    await ledger.close()
    for form, expected in (("csv", ",1,0,0,1,0,8,0.00,0.000001\n"), ("json", '"held_usd":0.000001}\n]\n')):
        assert (await shell.run_beside("ledger", "export", "--format", form)).out.endswith(expected)


async def test_nothing_is_an_empty_table_and_an_empty_array(shell: Shell, house: House) -> None:
    for form, expected in (("csv", ",".join(COLUMNS) + "\n"), ("json", "[]\n")):
        shown = await shell.run_beside("ledger", "export", "--month", "2026-01", "--format", form)
        assert (shown.status, shown.out) == (0, expected)


def test_without_a_ledger_or_with_a_wrong_span_it_says_so(shell: Shell) -> None:
    assert shell.run("ledger", "export").err.startswith("gmi-gateway ledger: there is no ledger at ")
    refused = shell.run("ledger", "export", "--to", "2026-10")
    assert (refused.status, refused.err) == (2, "gmi-gateway ledger: --to needs --from, the month to begin with\n")


async def test_a_team_nobody_knows_is_refused(shell: Shell, house: House) -> None:
    refused = await shell.run_beside("ledger", "export", "--team", "flims")
    assert (refused.status, refused.out) == (2, "")
    assert "there is no team `flims`" in refused.err
