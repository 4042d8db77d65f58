import csv
import io
import json

import pytest

from gateway.ledger.ledger import Ledger
from tests.command_line import Shell
from tests.conftest import House
from tests.ledger.samples import run_sql


@pytest.fixture
async def refusing(house: House) -> House:
    """A gateway that has refused `ads` an image and `news` a path, and has written it down."""
    refused = await house.client("ads-key").create("seedream-5.0-lite", payload={})
    assert refused.json()["code"] == "payload_rejected"
    assert (await house.client("news-key").get("/nope")).status_code == 404
    await house.gw.refusals.write()
    return house


async def test_jobs_money_and_refusals_by_team_key_and_model(shell: Shell, refusing: House) -> None:
    shown = await shell.run_beside("usage")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.splitlines() == [
        "TEAM   KEY   MODEL              JOBS  SUCCESS  UNSUCCESSFUL  OPEN  REFUSED   USD  OF IT HELD",
        "ads    main  seedream-5.0-lite     2    100 %             0     0        1  0.07        0.00",
        "news   main  luma-ray-2            1      0 %             1     0        0  0.00        0.00",
        "news   main  other                 0        -             0     0        1  0.00        0.00",
        "total                              3     67 %             1     0        2  0.07        0.00",
    ]


async def test_one_team_as_json(shell: Shell, refusing: House) -> None:
    shown = json.loads((await shell.run_beside("usage", "--team", "ads", "--format", "json")).out)
    numbers = {"jobs": 2, "succeeded": 2, "unsuccessful": 0, "open": 0, "refused": 1, "usd": 0.07, "held_usd": 0}
    assert shown["rows"] == [{"team": "ads", "key": "main", "model": "seedream-5.0-lite", **numbers}]
    assert shown["total"] == numbers


async def test_csv_has_a_line_a_row_and_no_total(shell: Shell, refusing: House) -> None:
    text = (await shell.run_beside("usage", "--format", "csv")).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["team"], row["jobs"], row["refused"], row["usd"]) for row in rows] == [
        ("ads", "2", "1", "0.07"),
        ("news", "1", "0", "0.00"),
        ("news", "0", "1", "0.00"),
    ]


async def test_a_team_that_left_the_policies_still_shows(shell: Shell, house: House) -> None:
    (shell.policies / "news.yaml").unlink()
    shown = await shell.run_beside("usage", "--team", "news")
    assert "news   main  luma-ray-2" in shown.out


async def test_another_month_is_empty(shell: Shell, house: House) -> None:
    shown = await shell.run_beside("usage", "--month", "2026-01", "--format", "json")
    assert json.loads(shown.out)["month"] == "2026-01"
    assert json.loads(shown.out)["rows"] == []
    header, *rows = (await shell.run_beside("usage", "--month", "2026-01", "--format", "csv")).out.splitlines()
    assert header == "team,key,model,jobs,succeeded,unsuccessful,open,refused,usd,held_usd"
    assert rows == []


async def test_several_months_each_with_its_rows_and_one_total(shell: Shell, refusing: House) -> None:
    ledger = shell.environment["GATEWAY_LEDGER"]
    run_sql(ledger, "UPDATE reservations SET created_at = created_at - 31 * 86400 WHERE model = 'luma-ray-2'")
    shown = await shell.run_beside("usage", "--from", "2026-01")
    header, *rows, total = [line.split() for line in shown.out.splitlines()]
    assert header[:4] == ["MONTH", "TEAM", "KEY", "MODEL"]
    assert [row[1:4] for row in rows] == [
        ["news", "main", "luma-ray-2"],
        ["ads", "main", "seedream-5.0-lite"],
        ["news", "main", "other"],
    ]
    assert rows[0][0] < rows[1][0] == rows[2][0]
    assert total[:2] == ["total", "3"]
    spoken = json.loads((await shell.run_beside("usage", "--from", "2026-01", "--format", "json")).out)
    assert [row["month"] for row in spoken["rows"]] == [row[0] for row in rows]
    assert (spoken["from"], spoken["total"]["jobs"]) == ("2026-01", 3)
    table = csv.DictReader(io.StringIO((await shell.run_beside("usage", "--from", "2026-01", "--format", "csv")).out))
    assert [(row["month"], row["jobs"]) for row in table] == [(row[0], row[4]) for row in rows]


@pytest.mark.parametrize("month", ["2026", "2026-13", "november", "0001-01"])
def test_a_month_that_is_none_is_refused(shell: Shell, month: str) -> None:
    shown = shell.run("usage", "--month", month)
    assert shown.status == 2
    assert shown.err.endswith("argument --month: must be a month such as 2026-11\n")


def test_without_a_ledger_it_says_so_and_creates_none(shell: Shell) -> None:
    shown = shell.run("usage")
    assert shown.status == 2
    file = shell.policies.parent / "gateway.db"
    assert shown.err == f"gmi-gateway usage: there is no ledger at {file}: point to it with --ledger\n"
    assert not file.exists()


async def test_a_team_nobody_knows_is_refused(shell: Shell) -> None:
    ledger = Ledger(shell.environment["GATEWAY_LEDGER"])
    await ledger.open()
    await ledger.close()
    shown = shell.run("usage", "--team", "flims")
    assert (shown.status, shown.err) == (2, "gmi-gateway usage: there is no team `flims`; did you mean `films`?\n")
