import pytest

from gateway.core.ranges import bytes_asked, is_one_range


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        (b"bytes=0-0", range(1)),
        (b"bytes=2-5", range(2, 6)),
        (b"Bytes=2-", range(2, 10)),
        (b"bytes=-3", range(7, 10)),
        (b"bytes=-99", range(10)),
        (b"bytes=8-99", range(8, 10)),
        (b"bytes=10-", range(0)),
        (b"bytes=-0", range(0)),
    ],
)
def test_one_range_of_ten_bytes(field: bytes, asked: range) -> None:
    assert is_one_range(field)
    assert bytes_asked(field, 10) == asked


@pytest.mark.parametrize(
    "field", [b"", b"bytes=-", b"bytes=5-2", b"bytes=1-2,4-5", b"lines=1-2", b"bytes= 1-2", b"bytes=1-2\n", b"bytes=x"]
)
def test_any_other_is_none(field: bytes) -> None:
    assert not is_one_range(field)
