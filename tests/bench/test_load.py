"""wrk's words become figures."""

import pytest

from tests.bench.load import read_wrk
from tests.bench.upstream import read_calls

CALM = """Running 2s test @ http://127.0.0.1:1
  1 threads and 32 connections
  Latency Distribution
     50%  850.00us
     75%    1.02ms
     90%    2.10ms
     99%    1.53s
  20446 requests in 2.00s, 6.02MB read
Requests/sec:  10223.00
Transfer/sec:      3.01MB
"""
TROUBLED = CALM.replace(
    "Requests/sec",
    "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 100\nRequests/sec",
)


def test_times_are_read_in_their_units() -> None:
    seen = read_wrk(CALM)
    assert (seen.requests, seen.per_second, seen.errors) == (20446, 10223.0, 0)
    assert seen.p50 == pytest.approx(0.00085)
    assert seen.p99 == pytest.approx(1.53)


def test_refused_and_broken_calls_are_errors() -> None:
    assert read_wrk(TROUBLED).errors == 110


def test_what_wrk_never_prints_is_not_taken_for_a_figure() -> None:
    with pytest.raises(AssertionError, match="unable to connect"):
        read_wrk("unable to connect to 127.0.0.1:1 Connection refused")


def test_the_third_figure_of_nginx_is_its_requests() -> None:
    status = "Active connections: 2 \nserver accepts handled requests\n 7 7 4102 \nReading: 0 Writing: 1 Waiting: 1 \n"
    assert read_calls(status) == 4102
