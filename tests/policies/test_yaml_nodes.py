import time

import pytest

from gateway.core.nodes import Listing, Report, Scalar, Table, plain
from gateway.policies.yaml_nodes import DEEPEST, compose, resolve


def read(text: str) -> object:
    report = Report()
    root = compose(text, "a.yaml", report)
    assert root is not None, report.problems
    assert report.problems == []
    return plain(root)


def problem_of(text: str) -> str:
    report = Report()
    assert compose(text, "a.yaml", report) is None
    (problem,) = report.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("-0", 0),
        ("+5", 5),
        ("0.40", 0.4),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e5", 100_000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_plain_scalars_that_mean_something(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("no", "yes", "on", "off", "y", "n", "1:30", "010", "0x10", "0o7", "1_000", "2027-01-01", ".nan", ".inf"),
        *("1e400", "e5", ".", "-", "+.e1", "9" * 41, "1,5", "٣", "<<", "="),
    ],
)
def test_po2_every_other_plain_scalar_is_its_text(text: str) -> None:
    assert resolve(text) == text


def test_quoted_scalars_are_text() -> None:
    assert read("['8', \"true\", 'null', '']") == ["8", "true", "null", ""]


def test_keys_are_text_as_written() -> None:
    assert read("no: 1\n010: 2\n1.0: 3\n") == {"no": 1, "010": 2, "1.0": 3}


def test_a_merge_key_merges_nothing() -> None:
    assert read("<<: {a: 1}\nb: 2\n") == {"<<": {"a": 1}, "b": 2}


def test_nodes_know_where_they_stand() -> None:
    text = "é: x\nlist:\n  - one\n  - {b: 'c d' }  # why\n  - |\n    long\n\n\nlast: []\n"
    root = compose(text, "a.yaml", Report())
    assert isinstance(root, Table)
    listing, empty = root.get("list"), root.get("last")
    assert isinstance(listing, Listing)
    assert isinstance(empty, Listing)
    one, table, block = listing.items
    assert (str(listing.mark), str(one.mark), str(table.mark)) == ("a.yaml:3:3", "a.yaml:3:5", "a.yaml:4:5")
    assert isinstance(one, Scalar)
    assert text[one.mark.offset : one.end] == "one"
    assert text[table.mark.offset : table.end] == "{b: 'c d' }"
    assert text[block.mark.offset : block.end] == "|\n    long"
    assert (listing.end, listing.flow) == (block.end, False)
    assert (text[empty.mark.offset : empty.end], empty.flow) == ("[]", True)


def test_as_deep_as_allowed_and_no_deeper() -> None:
    assert read("[" * DEEPEST + "]" * DEEPEST)
    assert problem_of("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)) == "a.yaml:1:33: nested deeper than 32 levels"


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000 + "x", "? " * 5000, '[{"a": ' * 5000])
def test_po2_a_hostile_file_costs_what_it_is_long(text: str) -> None:
    began = time.perf_counter()
    assert "nested deeper" in problem_of(text)
    assert time.perf_counter() - began < 0.5


def test_po2_nothing_is_ever_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(50))
    report = Report()
    assert compose(bomb, "a.yaml", report) is None
    assert len(report.problems) == 3


def test_several_problems_of_one_file_are_all_named() -> None:
    report = Report()
    compose("a: !!str x\na: &b y\n? [c]\n: d\n", "a.yaml", report)
    assert [f"{problem.line}:{problem.column}" for problem in report.in_order()] == ["1:4", "2:1", "2:4", "3:3"]
