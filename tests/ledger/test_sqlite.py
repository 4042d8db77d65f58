import asyncio
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from gateway.ledger import sqlite
from gateway.ledger.engine import ledger_url
from gateway.ledger.faults import RESTORE, LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.migrate import HEAD
from gateway.ledger.sqlite import prepare, reading_engine, writing_engine
from tests.ledger.samples import claim, create, on_sqlite, reservation

NOBODY = 65534


def refusal(file: Path) -> str:
    with pytest.raises(LedgerUnavailable) as caught:
        prepare(ledger_url(f"sqlite:///{file}"))
    return str(caught.value)


async def fill(file: Path) -> None:
    ledger = Ledger(f"sqlite:///{file}")
    await ledger.open()
    for number in range(40):
        await create(ledger, reservation(str(number), claim(f"counter-{number}")))
    await ledger.close()


def created(file: Path) -> sqlite3.Connection:
    """A connection to a database that is no ledger yet."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA user_version = 1")
    return connection


def copy_with_cut_wal(file: Path, kept: float) -> Path:
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    wal = Path(f"{file}-wal").read_bytes()
    Path(f"{copy}-wal").write_bytes(wal[: int(len(wal) * kept)])
    return copy


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder in which nobody may write, as a user to whom that applies."""
    folder = Path(tempfile.mkdtemp())
    prepare(ledger_url(f"sqlite:///{folder / 'gateway.db'}"))
    (folder / "gateway.db").chmod(0o444)
    folder.chmod(0o555)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(NOBODY)
    yield folder
    if privileged:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_le4_a_missing_file_is_created_with_a_warning(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "gateway"):
        prepare(ledger_url(f"sqlite:///{file}"))
        prepare(ledger_url(f"sqlite:///{file}"))
    assert [record.getMessage() for record in caplog.records] == ["ledger created, there was none"]
    assert file.exists()


def test_le4_an_emptied_file_is_refused(file: Path) -> None:
    prepare(ledger_url(f"sqlite:///{file}"))
    file.write_bytes(b"")
    assert refusal(file) == f"{file} is empty: put the ledger back, or remove the file to begin a new one"
    assert file.read_bytes() == b""


def test_le4_a_gateway_that_dies_while_it_creates_the_file_leaves_none(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    def die(*_: object) -> None:
        raise Death

    for step in ("_switch_to_wal", "_put_in_place"):
        with monkeypatch.context() as dying:
            dying.setattr(sqlite, step, die)
            with pytest.raises(Death):
                prepare(ledger_url(f"sqlite:///{file}"))
        assert not file.exists()
    prepare(ledger_url(f"sqlite:///{file}"))
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_file_is_created_where_there_are_no_hard_links(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    prepare(ledger_url(f"sqlite:///{file}"))
    assert [each.name for each in file.parent.iterdir()] == [file.name]


async def test_le4_damage_in_the_first_page_is_refused(file: Path) -> None:
    await fill(file)
    with file.open("r+b") as data:
        data.write(b"\xff" * 100)
    assert refusal(file) == f"{file} cannot be used as the ledger: file is not a database: {RESTORE}"


async def test_le4_damage_in_the_middle_is_refused(file: Path) -> None:
    await fill(file)
    with file.open("r+b") as data:
        data.seek(4096 * 3)
        data.write(b"\xff" * 4096 * 4)
    reason = refusal(file)
    assert reason.startswith(
        (f"{file} is damaged: ", f"{file} cannot be used as the ledger: database disk image is mal")
    )
    assert reason.endswith(f": {RESTORE}")


async def test_le4_a_file_cut_short_is_refused(file: Path) -> None:
    await fill(file)
    with file.open("r+b") as data:
        data.truncate(4096 * 5)
    assert refusal(file).startswith(str(file))


@on_sqlite
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
async def test_le4_a_cut_wal_leaves_an_earlier_state_that_adds_up(ledger: Ledger, file: Path, kept: float) -> None:
    for number in range(20):
        await create(ledger, reservation(str(number), claim("c")))
    copy = copy_with_cut_wal(file, kept)
    reopened = Ledger(f"sqlite:///{copy}")
    await reopened.open()
    assert await reopened.verify() == []
    _, jobs = await reopened.list_jobs("red", None, 50, 0)
    assert jobs <= (await reopened.used(["c"]))["c"] <= jobs + 1 <= 20
    await reopened.close()


def test_a_newer_ledger_is_refused_by_name(file: Path) -> None:
    prepare(ledger_url(f"sqlite:///{file}"))
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert refusal(file) == f"{file} has schema 9999, which is newer than this gateway's {HEAD}: upgrade the gateway"


def test_le3_a_read_only_file_is_refused(locked_folder: Path) -> None:
    assert "readonly" in refusal(locked_folder / "gateway.db")


def test_le3_a_folder_where_nothing_can_be_created_is_refused(locked_folder: Path) -> None:
    file = locked_folder / "new.db"
    assert refusal(file).startswith(
        f"{file} cannot be used as the ledger: unable to open database file: look at the perm"
    )


def test_a_folder_that_is_missing_is_not_made(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = file.parent / "nowhere"
    told = f"cannot be used as the ledger: there is no folder {missing}: make it, or point elsewhere with --ledger"
    assert refusal(missing / "gateway.db") == f"{missing / 'gateway.db'} {told}"
    assert not missing.exists()
    assert caplog.records == []


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path} cannot be used as the ledger: unable to open database file")


def test_a_file_system_without_shared_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="must be a local one"):
        prepare(make_url(f"sqlite:///file:{tmp_path / 'gateway.db'}?vfs=unix-dotfile&uri=true"))


def test_gateways_that_create_the_file_together_all_find_it_fit(file: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        starts = [threads.submit(prepare, ledger_url(f"sqlite:///{file}")) for _ in range(4)]
    assert [start.result() for start in starts] == [None] * 4


async def test_le2_a_file_another_process_holds_for_a_moment_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MIGRATION_TIMEOUT", 0.01)
    other = created(file)
    other.execute("BEGIN EXCLUSIVE")
    preparing = asyncio.ensure_future(asyncio.to_thread(prepare, ledger_url(f"sqlite:///{file}")))
    await asyncio.sleep(0.1)
    assert not preparing.done()
    other.execute("COMMIT")
    other.close()
    await preparing


def test_le2_a_file_another_process_never_lets_go_of_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(sqlite, "MIGRATION_TIMEOUT", 0.05)
    other = created(file)
    other.execute("BEGIN EXCLUSIVE")
    assert refusal(file) == f"{file} cannot be used as the ledger: database is locked"
    other.close()


def test_le8_a_commit_is_on_the_disk_and_references_hold(file: Path) -> None:
    url = ledger_url(f"sqlite:///{file}")
    prepare(url)
    for engine in (writing_engine(url), reading_engine(url)):
        with engine.connect() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        engine.dispose()
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 2000}


def test_a_reading_connection_cannot_write(file: Path) -> None:
    url = ledger_url(f"sqlite:///{file}")
    prepare(url)
    engine = reading_engine(url)
    with engine.begin() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM jobs")
    engine.dispose()


async def test_le4_a_large_file_is_checked_for_a_bounded_time(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(file)
    with sqlite3.connect(file) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
            "INSERT INTO snapshots SELECT i, x'00', zeroblob(100), 1 FROM n"
        )
    connection.close()
    monkeypatch.setattr(sqlite, "CHECK_FOR", 0.05)
    with caplog.at_level(logging.INFO, "gateway"):
        prepare(ledger_url(f"sqlite:///{file}"))
    assert caplog.records[-1].getMessage() == "ledger checked in part, it is large"


def test_a_turn_that_cannot_be_had_leaves_nothing_open(file: Path) -> None:
    Path(f"{file}-turn").mkdir()
    ledger = Ledger(f"sqlite:///{file}")
    with pytest.raises(LedgerUnavailable, match="-turn cannot be used"):
        asyncio.run(ledger.open())
    assert (ledger.is_open, ledger._readers) == (False, None)
