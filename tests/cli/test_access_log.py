import io

import pytest

from gateway.cli.access_log import Asked, Ended, Other, Unread, read_entries
from gateway.core.lifecycle import Outcome


def entries(*lines: str) -> list[object]:
    return list(read_entries(io.BytesIO("\n".join(lines).encode())))


def test_a_create_is_read_with_the_instant_at_which_it_came() -> None:
    (asked,) = entries(
        '{"time":"1970-01-01T00:01:00Z","method":"POST","route":"/requests","status":200,"ms":1500,"team":"a","key":"k",'
        '"model":"Veo3","usd":0.000001,"seconds":8,"job":"j","more":[1]}'
    )
    assert asked == Asked(58.5, 60.0, "a", "k", True, 200, "Veo3", "", 1, 8, "j", False)
    assert isinstance(asked, Asked)
    assert asked.was_placed


def test_the_end_of_a_job_is_read_and_no_other_event() -> None:
    line = '{"time":"2026-11-23T10:00:00+00:00","event":"job %s","request_id":"j","outcome":"%s"}'
    assert entries(line % ("ended", "failed"), line % ("ended", "odd"), line % ("placed", "")) == [
        Ended(1795428000.0, "j", Outcome.FAILED),
        Other(),
        Other(),
    ]


def test_a_call_without_a_valid_key_says_nothing() -> None:
    assert entries('{"time":"2026-11-23T10:00:00Z","method":"GET","route":"other","status":401,"ms":1}') == [Other()]


def test_what_is_no_line_of_the_log_is_told_apart() -> None:
    odd = ("listening on", "{}", '{"time":"yesterday","route":"x"}', '{"time":"2026-11-23T10:00:00Z"}', "\ud800", "[1]")
    lines = [line.encode("utf-8", "surrogatepass") for line in odd]
    assert list(read_entries(io.BytesIO(b"\n\n".join(lines)))) == [Unread()] * len(odd)
    negative = '{"time":"2026-11-23T10:00:00Z","route":"/requests","method":"POST","team":"a","key":"k","usd":-1}'
    assert entries(negative) == [Unread()]


@pytest.mark.parametrize(
    "more",
    ['"x":' + "[" * 200_000 + "]" * 200_000, '"ms":1e308', '"ms":-1e308', '"ms":1e14', '"ms":-1e17', '"usd":1e300'],
    ids=["deep", "ms-1e308", "ms-below", "ms-1e14", "ms-late", "usd"],
)
def test_a_line_beyond_all_measure_is_told_apart(more: str) -> None:
    line = '{"time":"2026-11-23T10:00:00Z","method":"POST","route":"/requests","team":"a","key":"k",%s}'
    assert entries(line % more) == [Unread()]


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:59+00:00",
        "9999-12-31T23:59:59",
    ],
)
def test_a_year_without_windows_is_told_apart(time: str) -> None:
    line = '{"time":"%s","method":"POST","route":"/requests","status":200,"team":"a","key":"k"}'
    assert entries(line % time) == [Unread()]
    assert entries(f'{{"time":"{time}","event":"job ended","outcome":"failed"}}') == [Unread()]
