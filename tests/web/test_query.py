"""A query's parameters are read strictly."""

import pytest

from gateway.core.errors import Refusal
from gateway.web.query import check_word, read_number


@pytest.mark.parametrize("text", ["0", "11", "-1", "1.5", "1e1", "", " 5", "\u0665", "9999999999"])
def test_a_number_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="`limit` must be a whole number from 1 to 10"):
        read_number({"limit": text}, "limit", 3, 1, 10)


def test_a_number_within_bounds_is_read_and_an_absent_one_has_its_default() -> None:
    assert [read_number({"limit": text}, "limit", 3, 1, 10) for text in ("1", "10", "007")] == [1, 10, 7]
    assert read_number({}, "limit", 3, 1, 10) == 3


def test_a_word_that_is_not_known_is_told_those_that_are() -> None:
    check_word("team", "b", {"a", "b"})
    with pytest.raises(Refusal, match="There is no such `team`; it may be `a`, `b`"):
        check_word("team", "c", {"b", "a"})
