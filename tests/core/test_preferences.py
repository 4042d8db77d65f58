"""`Prefer: wait=N` is read as RFC 7240 says, and never an error."""

import time

import pytest

from gateway.core.preferences import LONGEST_WAIT, wait_of


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([], None),
        ([b"wait=20"], 20),
        ([b"WAIT = 20"], 20),
        ([b'wait="20"'], 20),
        ([b"wait=20; fast"], 20),
        ([b"respond-async, wait=20"], 20),
        ([b"respond-async", b"wait=20"], 20),
        ([b'foo="a, wait=9", wait=20'], 20),
        ([b'foo="a \\" b, wait=9", wait=20'], 20),
        ([b'foo; bar="x", wait=020'], 20),
        ([b"waiting=9, wait=20"], 20),
    ],
)
def test_lp1_a_wait_is_found_among_the_preferences(lines: list[bytes], seconds: int | None) -> None:
    assert wait_of(lines) == seconds


@pytest.mark.parametrize(
    ("asked", "given"), [(b"0", 1), (b"1", 1), (b"300", 300), (b"301", 300), (b"999999", 300), (b"9" * 900, 300)]
)
def test_lp1_a_wait_is_from_one_second_to_five_minutes(asked: bytes, given: int) -> None:
    assert wait_of([b"wait=" + asked]) == given
    assert LONGEST_WAIT == 300


@pytest.mark.parametrize(
    "line",
    [
        b'foo="a, wait=5',
        b'foo="a\\", wait=5',
        b'foo="a, wait=5\\',
        b"wait=5 x",
        b"",
        b"wait",
        b"wait=",
        b"wait=-1",
        b"wait=abc",
        b"wait=1.5",
        b"wait=1 2",
        b'wait="',
        b"wait=\xb2",
        b'"',
    ],
)
def test_lp1_what_is_no_number_is_no_wait(line: bytes) -> None:
    assert wait_of([line]) is None


def test_lp1_of_two_waits_the_first_counts() -> None:
    assert [wait_of([b"wait=5, wait=9"]), wait_of([b"wait=5", b"wait=9"]), wait_of([b"wait=x, wait=9"])] == [5, 5, None]


def test_a_header_made_to_be_slow_is_not_read() -> None:
    assert wait_of([b'"\\' * 8000]) is None
    assert wait_of([b"x" * 1020, b"wait=5"]) is None


@pytest.mark.parametrize("line", [b'"\\' * 511, b'a"' * 511, b"wait=" + b" " * 1015 + b"x y", b" " * 1015 + b"wait=5"])
def test_a_header_made_to_be_slow_is_read_in_no_time(line: bytes) -> None:
    began = time.process_time()
    for _ in range(100):
        wait_of([line])
    assert time.process_time() - began < 0.5, "it took one to two seconds where each part was tried again"
