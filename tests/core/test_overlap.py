import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.overlap import overlap

patterns = st.text("ab*?", max_size=6)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Veo3", "Veo3", True),
        ("Veo3", "veo3", False),
        ("Veo3*", "Veo3", True),
        ("Veo3*", "Veo", False),
        ("Veo3*", "*-Fast", True),
        ("a*b", "b*a", False),
        ("?", "ab", False),
        ("?b", "a?", True),
        ("*", "", True),
        ("[Vv]eo*", "Veo3", False),
        ("*a*b*", "?????", True),
    ],
)
def test_two_patterns_overlap_where_one_id_matches_both(one: str, other: str, expected: bool) -> None:  # noqa: FBT001
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


@given(pattern=patterns, model=st.text("ab", max_size=6))
def test_with_an_id_it_is_matching(pattern: str, model: str) -> None:
    assert overlap(pattern, model) == bool(re.fullmatch(fnmatch.translate(pattern), model))


@given(one=patterns, other=patterns, model=st.text("ab", max_size=6))
def test_an_id_that_matches_both_makes_them_overlap(one: str, other: str, model: str) -> None:
    if overlap(one, model) and overlap(other, model):
        assert overlap(one, other)
