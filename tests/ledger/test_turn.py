import errno
import fcntl
import itertools
import multiprocessing
import sqlite3
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.turn import Turn

processes = multiprocessing.get_context("spawn")


def hold(file: str, told: Connection) -> None:
    """Another process that holds its turn from one word to the next."""
    turn = Turn(file, 10)
    while told.recv():
        with turn.taken():
            told.send("holding")
            told.recv()
        told.send("let go")


def test_nobody_else_writes_meanwhile_and_nobody_waits_for_ever(file: Path) -> None:
    here, there = processes.Pipe()
    other = processes.Process(target=hold, args=(str(file), there))
    other.start()
    turn = Turn(str(file), 0.05)
    with turn.taken():
        pass
    here.send("take it")
    assert here.recv() == "holding"
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="database is locked"), turn.taken():
        pass
    assert time.monotonic() - began >= 0.05
    here.send("let go")
    assert here.recv() == "let go"
    with turn.taken():
        pass
    here.send("")
    other.join()
    turn.close()


def take_turns(file: str, name: str, times: int) -> None:
    """Write this name so often, as fast as the turns come."""
    turn = Turn(file, 10)
    Path(f"{file}-{name}").touch()
    while not (Path(f"{file}-a").exists() and Path(f"{file}-b").exists()):
        time.sleep(0.001)
    for _ in range(times):
        with turn.taken(), Path(file).open("a") as lines:
            lines.write(name)
            lines.flush()
            time.sleep(0.002)


def test_two_that_write_all_the_time_take_turns(file: Path) -> None:
    both = [processes.Process(target=take_turns, args=(str(file), name, 100)) for name in "ab"]
    for each in both:
        each.start()
    for each in both:
        each.join()
    written = file.read_text()
    while_both_wrote = written[: 1 + min(written.rindex("a"), written.rindex("b"))]
    changes = sum(one != other for one, other in itertools.pairwise(while_both_wrote))
    assert changes > len(while_both_wrote) / 2


def test_a_process_that_ends_in_its_turn_holds_up_nobody(file: Path) -> None:
    here, there = processes.Pipe()
    other = processes.Process(target=hold, args=(str(file), there))
    other.start()
    here.send("take it")
    assert here.recv() == "holding"
    other.kill()
    other.join()
    turn = Turn(str(file), 0.5)
    with turn.taken():
        pass
    turn.close()


def test_a_file_that_cannot_be_locked_is_told_as_a_fault_of_the_database(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    turn = Turn(str(file), 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", no_locks)
        with pytest.raises(sqlite3.OperationalError, match="No locks available"), turn.taken():
            pass
    with turn.taken():
        monkeypatch.setattr(fcntl, "lockf", no_locks)
    turn.close()


def test_a_file_that_cannot_be_opened_is_named(file: Path) -> None:
    Path(f"{file}-turn").mkdir()
    with pytest.raises(LedgerUnavailable, match=r"gateway\.db-turn cannot be used: Is a directory"):
        Turn(str(file), 1)
