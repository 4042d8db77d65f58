from decimal import Decimal

import pytest

from gateway.cli.display import BAD, GOOD, Marked, print_json, render_table, show_line, show_marked, show_table
from gateway.core.money import usd_number


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert render_table(("TEAM", "JOBS"), [("a", "7"), ("marketing", "10")], right=frozenset({1})).splitlines() == [
        "TEAM       JOBS",
        "a             7",
        "marketing    10",
    ]


def test_no_line_ends_in_blanks_and_no_rows_leave_the_header() -> None:
    assert render_table(("A", "LONG"), [("x", "")]) == "A  LONG\nx"
    assert render_table(("A", "B"), []) == "A  B"


def test_what_is_no_terminal_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_marked([Marked("✓", GOOD, "disk", "has room"), Marked("✗", BAD, "ledger", "is gone")], "  ")
    show_table(("A", "B"), [("1", "2")])
    show_line("the end", BAD)
    assert capsys.readouterr().out == "  ✓ disk    has room\n  ✗ ledger  is gone\nA  B\n1  2\nthe end\n"


def test_sums_for_programs_are_exact_and_have_no_exponent(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"usd": usd_number(1), "held_usd": usd_number(2_000_000), "most": Decimal("1234567890123.456789")})
    assert capsys.readouterr().out == '{\n  "usd": 0.000001,\n  "held_usd": 2,\n  "most": 1234567890123.456789\n}\n'
