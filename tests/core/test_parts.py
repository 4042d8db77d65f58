from hypothesis import given
from hypothesis import strategies as st

from gateway.core.parts import Parts


@given(st.lists(st.integers(0, 9000)), st.lists(st.binary(max_size=5)))
def test_parts_of_any_size_are_one_text_in_order(sizes: list[int], texts: list[bytes]) -> None:
    pieces = [*texts, *(b"%d" % size * (size // 4) for size in sizes), *texts]
    parts = Parts()
    for piece in pieces:
        parts.add(piece)
    assert parts.size == len(b"".join(pieces))
    assert parts.take() == b"".join(pieces)
    assert (parts.size, parts.take()) == (0, b"")


def test_a_single_part_is_not_copied() -> None:
    parts, whole = Parts(), bytes(10_000)
    parts.add(whole)
    assert parts.take() is whole


def test_very_many_short_parts_are_kept_as_few() -> None:
    parts = Parts()
    for _ in range(50_000):
        parts.add(b"xy")
    assert len(parts._parts) < 50
    assert parts.take() == b"xy" * 50_000
