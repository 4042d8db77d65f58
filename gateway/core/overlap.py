"""Whether two model patterns could mean one model. `*` is any run of characters, `?` any one; case counts."""

from functools import lru_cache


@lru_cache(maxsize=100_000)
def overlap(one: str, other: str) -> bool:
    """Whether some id matches both patterns."""
    if not _is_pattern(one) and not _is_pattern(other):
        return one == other
    # below[j] says whether one[i + 1:] and other[j:] share an id; the rows are filled from the ends backwards.
    below = [False] * len(other) + [True]
    for i in range(len(one), -1, -1):
        row = [False] * (len(other) + 1)
        for j in range(len(other), -1, -1):
            if i == len(one) and j == len(other):
                row[j] = True
            else:
                row[j] = _share(one[i : i + 1], other[j : j + 1], below[j : j + 2], row[j + 1 : j + 2])
        below = row
    return below[0]


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _share(a: str, b: str, below: list[bool], after: list[bool]) -> bool:
    """One cell: `a` and `b` are the next characters (none at an end), `below` the cells past `a` and past both."""
    if a == "*":
        return below[0] or (bool(b) and after[0])
    if b == "*":
        return after[0] or (bool(a) and below[0])
    return bool(a and b) and (a == b or "?" in (a, b)) and below[1]
