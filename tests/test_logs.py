"""What stands in the log and in the access log, and what never does."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from select import PIPE_BUF

import pytest

from gateway import logs
from gateway.logs import AccessLog, Seldom, SpoolHandler, configure, log_event, logger, place_of

SECRET = "gmigw_canary"


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Where a test's log goes; the process's own logging is as before afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logger.level)
    yield io.BytesIO()
    for handler in root.handlers:
        if isinstance(handler, SpoolHandler):
            handler.close()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logger.setLevel(before[2])


def said(stream: io.BytesIO) -> str:
    """What the log has told its stream."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    return stream.getvalue().decode()


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_events_are_json_lines_with_their_fields(stream: io.BytesIO) -> None:
    configure("json", "info", stream)
    log_event(logging.INFO, "job ended", request_id="abc", team="marketing")
    lines = [json.loads(line) for line in said(stream).splitlines()]
    [line] = [line for line in lines if line["event"] == "job ended"]  # what other tests left may speak meanwhile
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {"level": "info", "event": "job ended", "request_id": "abc", "team": "marketing"}


def test_a_field_json_does_not_know_is_written_as_text(stream: io.BytesIO) -> None:
    configure("json", "info", stream)
    log_event(logging.INFO, "started", addresses={1}, path=sys)
    assert json.loads(said(stream))["addresses"] == "{1}"


def test_text_is_for_people(stream: io.BytesIO) -> None:
    configure("text", "info", stream)
    log_event(logging.WARNING, "policies refused", found=2)
    assert said(stream)[8:] == " WARNING policies refused found=2\n"


@pytest.mark.parametrize("value", ["a\nINFO forged", "a\r\nb", "\x1b[2J", "a\u2028b", "\x85"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_hd9_one_record_is_one_line(stream: io.BytesIO, log_format: str, value: str) -> None:
    configure(log_format, "info", stream)
    log_event(logging.INFO, "seen", value=value)
    written = said(stream)
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


@pytest.mark.parametrize(("terminal", "starts"), [(True, "job"), (False, "{")])
def test_auto_is_text_on_a_terminal_alone(stream: io.BytesIO, terminal: bool, starts: str) -> None:  # noqa: FBT001
    sink = Terminal() if terminal else io.BytesIO()
    configure("auto", "info", sink)
    log_event(logging.INFO, "job ended")
    text = said(sink)
    assert text.startswith(starts) or text[14:].startswith(starts)


def test_levels_hold_for_the_gateway_and_libraries_stay_at_warnings(stream: io.BytesIO) -> None:
    configure("text", "debug", stream)
    log_event(logging.DEBUG, "look failed")
    logging.getLogger("httpx").info("GET https://storage/x?signature=%s", SECRET)
    logging.getLogger("httpx").debug("more %s", SECRET)
    logging.getLogger("asyncio").warning("slow")
    assert [line.split(maxsplit=2)[2] for line in said(stream).splitlines()] == ["look failed", "slow"]


def test_a_quiet_level_is_quiet(stream: io.BytesIO) -> None:
    configure("text", "error", stream)
    log_event(logging.WARNING, "unseen")
    assert said(stream) == ""


def test_a_faults_place_is_the_last_of_the_gateways_own(stream: io.BytesIO) -> None:
    with pytest.raises(ValueError, match="Unknown level") as caught:  # raised by what `configure` calls
        configure("json", "loud", stream)
    assert re.fullmatch(r"ValueError at gateway\.logs\.configure:\d+", place_of(caught.value))
    assert place_of(ValueError(SECRET)) == "ValueError"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_se1_an_exception_shows_its_type_and_place_but_never_its_text(stream: io.BytesIO, log_format: str) -> None:
    configure(log_format, "debug", stream)

    def fail() -> None:
        raise ValueError(f"cannot read {SECRET}")

    try:
        fail()
    except ValueError:
        logger.exception("unhandled", extra={"fields": {"request_id": "abc"}})
    written = said(stream)
    assert f"ValueError at {__name__}.test_se1_an_exception_shows_its_type_and_place_but_never_its_text:" in written
    assert SECRET not in written
    assert "Traceback" not in written
    assert len(written.splitlines()) == 1


def test_configuring_twice_writes_each_event_once(stream: io.BytesIO) -> None:
    configure("text", "info", stream)
    configure("text", "info", stream)
    log_event(logging.INFO, "once")
    assert len(said(stream).splitlines()) == 1


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
    log.close()
    assert len(lines_of(sink)) == 2


def test_access_lines_are_written_without_being_asked_for() -> None:
    sink = io.BytesIO()
    log = AccessLog(sink)
    log.write({"number": 1})
    deadline = time.monotonic() + 5
    while not sink.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lines_of(sink) == [{"number": 1}]
    log.close()


def test_a_switched_off_access_log_takes_nothing() -> None:
    log = AccessLog(None)
    log.write({"route": "/models"})
    log.flush()
    assert log.lost == 0


class Pipe:
    """A pipe that nobody reads until `take`."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.sink = os.fdopen(writer, "wb")

    def take(self, lines: int) -> list[object]:
        """Read so many lines."""
        with os.fdopen(self.reader, "rb", closefd=False) as reader:
            return [json.loads(reader.readline()) for _ in range(lines)]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.sink.close()
    os.close(made.reader)


def test_a_sink_that_does_not_keep_up_loses_lines_and_the_log_says_how_many(
    stream: io.BytesIO, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.2)
    configure("text", "info", stream)
    log = AccessLog(pipe.sink)
    for number in range(9_000):
        log.write({"number": number})
    began = time.monotonic()
    log.flush()  # and the thread now holds these, as many as the pipe does not
    assert time.monotonic() - began < 1
    for number in range(9_000, 19_003):
        log.write({"number": number})
    assert log.lost == 3
    assert pipe.take(19_000) == [{"number": number} for number in range(19_000)]
    log.close()
    deadline = time.monotonic() + 5
    while "log lines lost" not in said(stream) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [line[9:] for line in said(stream).splitlines()] == [
        "WARNING log cannot be written log=access log",
        "WARNING log lines lost log=access log count=3",
    ]


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.sink.fileno(), False)
    log = AccessLog(pipe.sink)
    for number in range(9_000):
        log.write({"number": number})
    assert pipe.take(9_000) == [{"number": number} for number in range(9_000)]
    assert log.lost == 0
    log.close()


class Pieces(list[bytes]):
    """A sink that is what the descriptor says, and keeps every piece that it is given."""

    def __init__(self, descriptor: int) -> None:
        self.fileno = lambda: descriptor

    def write(self, data: memoryview) -> int:
        """Take all of it."""
        self.append(bytes(data))
        return len(data)


def test_lines_go_to_a_file_at_once_and_to_a_pipe_in_pieces_that_stay_together(pipe: Pipe, tmp_path: Path) -> None:
    with (tmp_path / "access.log").open("wb") as file:
        to_file, to_pipe = Pieces(file.fileno()), Pieces(pipe.sink.fileno())
        for sink in (to_file, to_pipe):
            log = AccessLog(sink)  # type: ignore[arg-type]  # a sink is all the log asks for
            for number in range(2000):
                log.write({"number": number})
            log.close()
            deadline = time.monotonic() + 5
            while b"".join(sink).count(b"\n") < 2000 and time.monotonic() < deadline:
                time.sleep(0.01)
    assert b"".join(to_file) == b"".join(to_pipe)
    assert len(to_file) < 5 < len(to_pipe)
    assert all(len(piece) <= PIPE_BUF and piece.endswith(b"\n") for piece in to_pipe)


BLOCKED = """
import logging, sys
from gateway.logs import AccessLog, configure, log_event
configure("json", "info")
log = AccessLog(sys.stdout.buffer)
for number in range(5_000):
    log_event(logging.INFO, "filler " * 10)
    log.write({"filler": "x" * 100})
log.close()
"""


def test_a_process_ends_although_nobody_reads_what_it_says() -> None:
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(10) == 0
    assert time.monotonic() - began < 8


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


class Filling(io.RawIOBase):
    """A disk that is full until there is room."""

    has_room = False
    taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # the log hands over nothing else
        if not self.has_room:
            raise OSError(28, "No space left on device")
        self.taken += data
        return len(data)


def test_that_access_lines_are_lost_is_said_at_once_and_how_many_once_they_are_taken_again(stream: io.BytesIO) -> None:
    configure("text", "info", stream)
    sink = Filling()
    log = AccessLog(sink)  # type: ignore[arg-type]  # a sink is all the log asks for
    for _ in range(2):
        for has_room in (False, False, True):
            sink.has_room = has_room
            log.write({})
            log.flush()
    log.close()
    assert [line[9:] for line in said(stream).splitlines()] == [
        "WARNING log cannot be written log=access log",
        "WARNING log lines lost log=access log count=2",
    ] * 2


def test_that_events_are_lost_is_said_once_they_are_taken_again(stream: io.BytesIO) -> None:
    sink = Filling()
    configure("text", "info", sink)  # type: ignore[arg-type]  # a sink is all the log asks for
    for has_room in (False, False, True):
        sink.has_room = has_room
        log_event(logging.INFO, "seen")
        said(stream)
    said(stream)
    assert [line[9:] for line in sink.taken.decode().splitlines()] == [
        "INFO seen",
        "WARNING log lines lost log=events count=2",
    ]


def test_no_line_is_lost_or_doubled_while_both_threads_run() -> None:
    sink = io.BytesIO()
    log = AccessLog(sink)
    for number in range(5000):
        log.write({"number": number})
        if number % 1000 == 0:
            log.flush()
    log.flush()
    assert lines_of(sink) == [{"number": number} for number in range(5000)]
    assert log.lost == 0
    log.close()


def test_a_closed_log_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    log = AccessLog(io.BytesIO())
    (own,) = [thread for thread in threading.enumerate() if thread not in before]
    log.close()
    own.join(5)
    assert not own.is_alive()


def test_what_happens_often_is_said_once_a_minute_of_each() -> None:
    seldom = Seldom(every=60, most=2)
    assert [seldom.may_say("one", 0), seldom.may_say("one", 59), seldom.may_say("two", 59)] == [True, False, True]
    assert not seldom.may_say("made up", 59), "there are as many as it keeps in mind"
    assert [seldom.may_say(name, 60) for name in ("one", "two", "three")] == [True, False, False]
