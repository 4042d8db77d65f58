import pytest

from gateway.cli.display import BAD, GOOD, Marked, render_table, show_line, show_marked, show_table


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
