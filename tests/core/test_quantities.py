import pytest

from gateway.core.quantities import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("50 MiB", 50 * 1024**2), ("64KiB", 65536), (" 7 ", 7), ("0", 0), ("1.5 KiB", 1536)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300 s", 300), ("0s", 0), ("5 min", 300), ("250 ms", 0.25), ("90d", 7_776_000), ("2 h", 7200)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "MiB", "-1 MiB", "1 mb", "1 MiB 2", "nan", "٣ MiB", "9" * 16])
def test_what_is_no_size_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a size such as `32 MiB`$"):
        parse_size(text)


@pytest.mark.parametrize("text", ["soon", "1 m", "inf"])
def test_what_is_no_duration_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration such as `300 s`$"):
        parse_duration(text)
