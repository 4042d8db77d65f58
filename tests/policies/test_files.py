import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.policies import files
from gateway.policies.files import LARGEST_FILE, PolicyFile, Reading, read_once, read_settled


def messages(path: Path) -> list[str]:
    return [str(problem).removeprefix(f"{path.parent}/") for problem in read_settled(path).problems]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    (folder / "teams").mkdir(parents=True)
    (folder / "b.yaml").write_text("b")
    (folder / "teams" / "a.yaml").write_text("a")
    return folder


def test_every_yaml_file_below_the_folder_in_order(folder: Path) -> None:
    (folder / "notes.txt").write_text("not read")
    (folder / ".#b.yaml").write_text("an editor's lock")
    (folder / "..data").mkdir()
    (folder / "..data" / "b.yaml").write_text("a ConfigMap's own")
    reading = read_settled(folder)
    assert [(file.name, file.content) for file in reading.files] == [("b.yaml", b"b"), ("teams/a.yaml", b"a")]
    assert reading.files[1].path == str(folder / "teams" / "a.yaml")
    assert reading.problems == ()


def test_one_file_alone(folder: Path) -> None:
    reading = read_settled(folder / "b.yaml")
    assert [(file.name, file.content) for file in reading.files] == [("b.yaml", b"b")]


def test_the_version_is_of_names_and_bytes_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    version = read_settled(folder).version
    folder.rename(tmp_path / "elsewhere")
    assert read_settled(tmp_path / "elsewhere").version == version
    (tmp_path / "elsewhere" / "b.yaml").rename(tmp_path / "elsewhere" / "c.yaml")
    assert read_settled(tmp_path / "elsewhere").version != version


def test_the_version_keeps_names_and_bytes_apart() -> None:
    one = Reading((PolicyFile("", "a", b"b1:c1:d"),), ())
    other = Reading((PolicyFile("", "a", b"b"), PolicyFile("", "c", b"d")), ())
    assert one.version != other.version


def test_po5_what_is_not_there(tmp_path: Path) -> None:
    where = "`--policies`, GATEWAY_POLICIES or `check DIR` says where the policies are"
    assert messages(tmp_path / "none") == [f"none:1:1: cannot be read: No such file or directory; {where}"]
    (tmp_path / "empty").mkdir()
    assert messages(tmp_path / "empty") == ["empty:1:1: the folder holds no `*.yaml` file"]


def test_po5_a_pipe_does_not_hang_the_reader(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    assert messages(folder) == ["policies/pipe.yaml:1:1: cannot be read: not a regular file"]


def test_po5_a_folder_in_a_files_place(folder: Path) -> None:
    (folder / "dir.yaml").mkdir()
    assert messages(folder) == ["policies/dir.yaml:1:1: cannot be read: not a regular file"]


def test_po5_a_link_that_leads_nowhere_or_to_itself(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to("nowhere")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "loop").symlink_to("loop")
    assert messages(folder) == [
        "policies/gone.yaml:1:1: cannot be read: No such file or directory",
        "policies/loop.yaml:1:1: cannot be read: Too many levels of symbolic links",
    ]


def test_po5_a_link_to_a_folder_above(folder: Path) -> None:
    (folder / "teams" / "up").symlink_to("..")
    assert messages(folder) == ["policies/teams/up:1:1: is a link to a folder that is read already"]
    assert len(read_once(folder).files) == 2


def test_po5_a_file_of_100_mb_is_not_read(folder: Path) -> None:
    with (folder / "huge.yaml").open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    assert messages(folder) == ["policies/huge.yaml:1:1: is larger than the 1 MiB a policy file may be"]
    (folder / "huge.yaml").write_bytes(b"x" * LARGEST_FILE)
    assert messages(folder) == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach, and this process as a user who is not root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "teams" / "sub").mkdir(parents=True)
        (folder / "a.yaml").write_text("a")
        (folder / "teams" / "sub" / "b.yaml").write_text("b")
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(was)


@pytest.mark.parametrize(
    ("name", "mode", "refused"),
    [("a.yaml", 0o000, "a.yaml"), ("teams", 0o000, "teams"), ("teams", 0o644, "teams/sub"), ("", 0o000, "")],
)
def test_po5_what_may_not_be_opened(open_folder: Path, name: str, mode: int, refused: str) -> None:
    me, owner = os.geteuid(), open_folder.stat().st_uid
    os.seteuid(owner)
    (open_folder / name).chmod(mode)
    os.seteuid(me)
    problems = [str(problem) for problem in read_settled(open_folder).problems]
    os.seteuid(owner)
    (open_folder / name).chmod(0o755)
    assert problems == [f"{open_folder / refused}:1:1: cannot be read: Permission denied"]


def test_a_yml_file_is_warned_of(folder: Path) -> None:
    (folder / "c.yml").write_text("c")
    assert messages(folder) == ["policies/c.yml:1:1: warning: only `*.yaml` is read: rename the file [not-read]"]


def test_a_file_name_may_hold_any_bytes(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.yaml")).write_text("x")
    reading = read_settled(folder)
    assert reading.files[-1].path == f"{folder}/\ufffd.yaml"
    assert len(reading.version) == 64


def test_too_many_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 1)
    assert messages(folder) == ["policies:1:1: the folder holds more than 1 policy files"]
    assert len(read_once(folder).files) == 1


def test_files_that_change_while_they_are_read_are_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new generation lands between the two files of the first reading: it must not be mixed with the old one."""
    plain_open, opened = os.open, []

    def open_and_change(path: Path, flags: int) -> int:
        descriptor = plain_open(path, flags)
        opened.append(path)
        if len(opened) == 1:
            (folder / "b.yaml").write_text("new b")
            (folder / "teams" / "a.yaml").write_text("new a")
        return descriptor

    monkeypatch.setattr(os, "open", open_and_change)
    assert [file.content for file in read_settled(folder).files] == [b"new b", b"new a"]


def test_files_that_never_settle_are_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_open = os.open

    def open_and_change(path: Path, flags: int) -> int:
        with (folder / "b.yaml").open("a") as stream:
            stream.write("more")
        return plain_open(path, flags)

    monkeypatch.setattr(os, "open", open_and_change)
    assert messages(folder) == ["policies:1:1: the files changed all the while they were read: try again"]
