from gateway.cli.tables import render_table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert render_table(("TEAM", "JOBS"), [("a", "7"), ("marketing", "10")], right=frozenset({1})).splitlines() == [
        "TEAM       JOBS",
        "a             7",
        "marketing    10",
    ]


def test_no_line_ends_in_blanks_and_no_rows_leave_the_header() -> None:
    assert render_table(("A", "LONG"), [("x", "")]) == "A  LONG\nx"
    assert render_table(("A", "B"), []) == "A  B"
