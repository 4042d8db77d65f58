import pytest

from gateway.core.nodes import Listing, Report, Scalar, Table
from gateway.policies.splice import append_item, block_item, fill_list, insert_lines, remove_item
from gateway.policies.yaml_nodes import compose

FIELDS = [("name", "new"), ("n", "9")]


def listing(text: str) -> tuple[Scalar, Listing]:
    root = compose(text, "a.yaml", Report())
    assert isinstance(root, Table)
    key, value = root.entries[0]
    assert isinstance(value, Listing)
    return key, value


def test_a_table_as_an_item() -> None:
    assert block_item(FIELDS) == ["- name: new", "  n: 9"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l:\n - a\n", "l:\n - a\n - name: new\n   n: 9\n"),
        ("l:\n- a # c", "l:\n- a # c\n- name: new\n  n: 9\n"),
        ("l: [a]\n", "l: [a, {name: new, n: 9}]\n"),
        ("l:\n  - {x: 1}\nm: 2\n", "l:\n  - {x: 1}\n  - {name: new, n: 9}\nm: 2\n"),
    ],
)
def test_appending_follows_the_lists_style(text: str, expected: str) -> None:
    assert append_item(text, listing(text)[1], FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        ("l:\n - a\n - b # c\n", 0, "l:\n - b # c\n"),
        ("l:\n - a\n - b # c\n", 1, "l:\n - a\n"),
        ("l: # c\n - a\nm: 1\n", 0, "l: [] # c\nm: 1\n"),
        ("'l':\n - a", 0, "'l': []\n"),
        ("l: [a, b, c]\n", 1, "l: [a, c]\n"),
        ("l: [a, b, c]\n", 2, "l: [a, b]\n"),
        ("l: [ a, ]\n", 0, "l: []\n"),
    ],
)
def test_removing_takes_the_item_alone(text: str, index: int, expected: str) -> None:
    assert remove_item(text, *listing(text), index) == expected


def test_filling_keeps_the_comment_beside() -> None:
    text = "l: [] # c\nm: 1\n"
    assert fill_list(text, listing(text)[1], 2, FIELDS) == "l: # c\n  - name: new\n    n: 9\nm: 1\n"


def test_lines_go_below_the_line_they_belong_to() -> None:
    assert insert_lines("a\r\nb\r\n", 0, ["x"]) == "a\r\nx\r\nb\r\n"
    assert insert_lines("a", 0, ["x", "y"]) == "a\nx\ny\n"
