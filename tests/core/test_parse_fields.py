import re

import pytest

from gateway.core.nodes import Report
from gateway.core.parse_fields import NAME_PATTERN, Fields, read_fields
from gateway.policies.yaml_nodes import compose

KNOWN = ("name", "count", "word", "items")


def fields(text: str) -> tuple[Fields, Report]:
    report = Report()
    node = compose(text, "a.yaml", report)
    assert node is not None
    found = read_fields(node, KNOWN, "a thing", report)
    assert found is not None
    return found, report


def test_absent_fields_are_their_defaults() -> None:
    found, report = fields("word: x\n")
    assert found.text("name") is None
    assert found.count("count") is None
    assert found.number("count") is None
    assert found.flag("count", default=True) is True
    assert found.items("items") == ()
    assert found.quantity("count", int, 7) == 7
    assert found.place("items") == found.mark
    assert found.has("word")
    assert not found.has("name")
    assert report.problems == []


@pytest.mark.parametrize("text", ["no", "1:30", "010", "0x10", "2027-01-01", "1_000", "yes", "on", ".nan", "1e400"])
def test_po2_what_yaml_of_old_would_change_stays_text(text: str) -> None:
    found, report = fields(f"word: {text}\n")
    assert found.text("word") == text
    assert report.problems == []


@pytest.mark.parametrize("text", ["true", "3", "1.5", "0"])
def test_what_is_not_text_wants_quotes(text: str) -> None:
    found, report = fields(f"word: {text}\n")
    assert found.text("word") is None
    assert [str(problem) for problem in report.problems] == [f"a.yaml:1:7: `word` must be text: put `{text}` in quotes"]


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("-1.5", -1.5), ("0", 0)])
def test_numbers(text: str, number: float) -> None:
    assert fields(f"count: {text}\n")[0].number("count") == number


@pytest.mark.parametrize("text", ["'3'", "true", "three", "[3]"])
def test_what_is_no_number_is_reported(text: str) -> None:
    found, report = fields(f"count: {text}\n")
    assert found.count("count") is None
    assert [problem.message for problem in report.problems] == ["`count` must be a number"]


def test_a_count_is_whole_and_not_negative() -> None:
    for text in ("-1", "1.5"):
        found, report = fields(f"count: {text}\n")
        assert found.count("count") is None
        assert [problem.message for problem in report.problems] == ["`count` must be a whole number of at least 0"]
    assert fields("count: 0\n")[0].count("count") == 0


def test_flags() -> None:
    assert fields("word: true\n")[0].flag("word", default=False) is True
    found, report = fields("word: 1\n")
    assert found.flag("word", default=False) is False
    assert [problem.message for problem in report.problems] == ["`word` must be `true` or `false`"]


def test_a_missing_field_is_reported_with_every_other() -> None:
    found, report = fields("word: x\n")
    assert found.require("word")
    assert not found.require("word", "name", "count")
    assert [problem.message for problem in report.problems] == ["`name` is missing here", "`count` is missing here"]


def test_names_are_safe_in_labels_headers_and_paths() -> None:
    for good in ("a", "A.b_c-9", "9", "x" * 64):
        assert re.fullmatch(NAME_PATTERN, good)
    for bad in ("", "-a", "a b", "é", "a/b", "x" * 65, "a\n"):
        assert not re.fullmatch(NAME_PATTERN, bad)
    assert fields("name: 'a b'\n")[0].name("name") is None
    assert fields("name: a-b\n")[0].name("name") == "a-b"
