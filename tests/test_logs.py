"""What stands in the log and in the access log, and what never does."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest

from gateway.logs import AccessLog, configure, log_event, logger

SECRET = "gmigw_canary"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where a test's log goes; the process's own logging is as before afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logger.level)
    yield io.StringIO()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logger.setLevel(before[2])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_events_are_json_lines_with_their_fields(stream: io.StringIO) -> None:
    configure("json", "info", stream)
    log_event(logging.INFO, "job ended", request_id="abc", team="marketing")
    line = json.loads(stream.getvalue())
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {"level": "info", "event": "job ended", "request_id": "abc", "team": "marketing"}


def test_a_field_json_does_not_know_is_written_as_text(stream: io.StringIO) -> None:
    configure("json", "info", stream)
    log_event(logging.INFO, "started", addresses={1}, path=sys)
    assert json.loads(stream.getvalue())["addresses"] == "{1}"


def test_text_is_for_people(stream: io.StringIO) -> None:
    configure("text", "info", stream)
    log_event(logging.WARNING, "policies refused", found=2)
    assert stream.getvalue()[8:] == " WARNING policies refused found=2\n"


@pytest.mark.parametrize("value", ["a\nINFO forged", "a\r\nb", "\x1b[2J", "a\u2028b", "\x85"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_hd9_one_record_is_one_line(stream: io.StringIO, log_format: str, value: str) -> None:
    configure(log_format, "info", stream)
    log_event(logging.INFO, "seen", value=value)
    written = stream.getvalue()
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


@pytest.mark.parametrize(("terminal", "starts"), [(True, "job"), (False, "{")])
def test_auto_is_text_on_a_terminal_alone(stream: io.StringIO, terminal: bool, starts: str) -> None:  # noqa: FBT001
    sink = Terminal() if terminal else io.StringIO()
    configure("auto", "info", sink)
    log_event(logging.INFO, "job ended")
    text = sink.getvalue()
    assert text.startswith(starts) or text[14:].startswith(starts)


def test_levels_hold_for_the_gateway_and_libraries_stay_at_warnings(stream: io.StringIO) -> None:
    configure("text", "debug", stream)
    log_event(logging.DEBUG, "look failed")
    logging.getLogger("httpx").info("GET https://storage/x?signature=%s", SECRET)
    logging.getLogger("httpx").debug("more %s", SECRET)
    logging.getLogger("asyncio").warning("slow")
    assert [line.split(maxsplit=2)[2] for line in stream.getvalue().splitlines()] == ["look failed", "slow"]


def test_a_quiet_level_is_quiet(stream: io.StringIO) -> None:
    configure("text", "error", stream)
    log_event(logging.WARNING, "unseen")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_se1_an_exception_shows_its_type_and_place_but_never_its_text(stream: io.StringIO, log_format: str) -> None:
    configure(log_format, "debug", stream)

    def fail() -> None:
        raise ValueError(f"cannot read {SECRET}")

    try:
        fail()
    except ValueError:
        logger.exception("unhandled", extra={"fields": {"request_id": "abc"}})
    written = stream.getvalue()
    assert "ValueError at fail:" in written
    assert SECRET not in written
    assert "Traceback" not in written
    assert len(written.splitlines()) == 1


def test_configuring_twice_writes_each_event_once(stream: io.StringIO) -> None:
    configure("text", "info", stream)
    configure("text", "info", stream)
    log_event(logging.INFO, "once")
    assert len(stream.getvalue().splitlines()) == 1


def lines_of(sink: io.BytesIO) -> list[object]:
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_access_lines_are_written_together_in_order() -> None:
    sink = io.BytesIO()
    log = AccessLog(sink)
    log.write({"route": "/models", "status": 200})
    log.write({"route": "/requests", "status": 429})
    assert sink.getvalue() == b""
    log.flush()
    assert lines_of(sink) == [{"route": "/models", "status": 200}, {"route": "/requests", "status": 429}]
    log.flush()
    assert len(lines_of(sink)) == 2


def test_a_switched_off_access_log_takes_nothing() -> None:
    log = AccessLog(None)
    log.write({"route": "/models"})
    log.flush()
    assert log.lost == 0


def test_a_sink_that_does_not_keep_up_loses_lines_and_says_how_many() -> None:
    sink = io.BytesIO()
    log = AccessLog(sink)
    for number in range(10_003):
        log.write({"number": number})
    log.flush()
    assert len(lines_of(sink)) == 10_000
    assert log.lost == 3


class FullDisk(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("closed", [True, False])
def test_a_sink_that_fails_is_survived_and_counted(closed: bool) -> None:  # noqa: FBT001
    sink: io.BytesIO | FullDisk = io.BytesIO() if closed else FullDisk()
    if closed:
        sink.close()
    log = AccessLog(sink)  # type: ignore[arg-type]  # a sink is all the log asks for
    log.write({"number": 1})
    log.write({"number": 2})
    log.flush()
    assert log.lost == 2


def test_no_line_is_lost_or_doubled_while_both_threads_run() -> None:
    sink = io.BytesIO()
    log = AccessLog(sink)
    done = threading.Event()

    def flush() -> None:
        while not done.is_set():
            log.flush()

    thread = threading.Thread(target=flush)
    thread.start()
    for number in range(5000):
        log.write({"number": number})
    done.set()
    thread.join()
    log.flush()
    assert lines_of(sink) == [{"number": number} for number in range(5000)]
    assert log.lost == 0
