"""Policy files on disk, read as one consistent set.

A folder can change while it is read: an editor saves, a ConfigMap swaps its `..data` link between two files. So it is
read until two readings in a row are the same files with the same bytes. Nothing that stands in the folder can hang or
exhaust the reader: only regular files are opened, and only so much of them is read.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from gateway.core.nodes import Mark, Problem, Report

LARGEST_FILE = 1024 * 1024
MOST_FILES = 10_000

_SUFFIX = ".yaml"
_MOST_READINGS = 10
_TELLING = 2.0
"""Seconds that lie between two changes which a file system is sure to tell apart."""

_WHERE = "; `--policies`, GATEWAY_POLICIES or `check DIR` says where the policies are"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file: its `path` as the user knows it, its `name` below the folder, and what it held.

    `identity` tells this very file, as it stood then, from any other: device, inode, size, and in nanoseconds when its
    bytes and when anything of it last changed. The last of these nobody can set.
    """

    path: str
    name: str
    content: bytes
    identity: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The files of one moment, by name, and the problems of those that could not be read.

    `began` is that moment, in unix seconds; None where nobody will ask later what has not changed since.
    """

    files: tuple[PolicyFile, ...]
    problems: tuple[Problem, ...]
    began: float | None = field(default=None, compare=False)

    def unchanged(self) -> Mapping[str, PolicyFile]:
        """The files, by path, whose identity is proof of their bytes: those that had been let alone for a while.

        One that was written as it was read may have been written once more in the same instant.
        """
        if self.began is None:
            return {}
        settled = (self.began - _TELLING) * 1e9
        return {file.path: file for file in self.files if file.identity[-1] < settled}

    @property
    def version(self) -> str:
        """SHA-256 (hex) over names and bytes: equal on every replica that has the same files."""
        total = hashlib.sha256()
        for file in self.files:
            name = os.fsencode(file.name)
            total.update(b"%d:%b%d:%b" % (len(name), name, len(file.content), file.content))
        return total.hexdigest()

    @property
    def state(self) -> tuple[str, tuple[Problem, ...]]:
        """What tells this reading from any other, good or bad."""
        return self.version, self.problems


def read_settled(path: Path) -> Reading:
    """The set as two readings in a row found it. One that will not settle is reported as such."""
    reading = read_once(path)
    for _ in range(_MOST_READINGS):
        again = read_once(path)
        if again == reading:
            return reading
        reading = again
    unsettled = Problem(_mark(path).file, 1, 1, "the files changed all the while they were read: try again")
    return Reading(reading.files, (*reading.problems, unsettled))


def read_once(path: Path, before: Reading | None = None, now: float | None = None) -> Reading:
    """Every `*.yaml` below a folder, or the one file, as they stand `now`.

    What cannot have changed since the reading `before` is not read again: of a thousand files it would take a
    twentieth of a core to look every second.
    """
    unchanged = {} if before is None else before.unchanged()
    report = Report()
    found = _find(path, report)
    if not found and not report.has_errors:
        report.error(_mark(path), "the folder holds no `*.yaml` file")
    if len(found) > MOST_FILES:
        report.error(_mark(path), f"the folder holds more than {MOST_FILES} policy files")
    files = []
    for each, facts in found[:MOST_FILES]:
        file = unchanged.get(_mark(each).file)
        if file is None or file.identity != _identity(facts):
            name = path.name if each == str(path) else each.removeprefix(_before(path))
            file = _read(each, name, report)
        if file is not None:
            files.append(file)
    return Reading(tuple(files), report.in_order(), now)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _find(root: Path, report: Report) -> list[tuple[str, os.stat_result]]:
    """The policy files at or below `root`, a file or a folder, and what the system says of each.

    A thousand files are gone through every second: in plain text, and with one question to the system for each.
    """
    found: list[tuple[str, os.stat_result]] = []
    waiting: list[tuple[str, Callable[[], os.stat_result]]] = [(str(root), root.stat)]
    seen = set()
    while waiting:
        path, look = waiting.pop()
        is_root = path == str(root)
        try:
            facts = look()
            if not stat.S_ISDIR(facts.st_mode) or (path.endswith(_SUFFIX) and not is_root):
                found.append((path, facts))
                continue
            with os.scandir(path) as folder:
                entries = sorted(folder, key=attrgetter("name"))
        except OSError as error:
            absent = is_root and isinstance(error, FileNotFoundError)
            report.error(_mark(path), _why(error) + (_WHERE if absent else ""))
            continue
        if (facts.st_dev, facts.st_ino) in seen:
            report.error(_mark(path), "is a link to a folder that is read already")
            continue
        seen.add((facts.st_dev, facts.st_ino))
        before = _before(path)
        waiting += [(before + entry.name, entry.stat) for entry in entries if _is_wanted(entry, before, report)]
    return sorted(found, key=lambda each: each[0].replace(os.sep, "\0"))  # a folder's files stand together


def _before(folder: str | Path) -> str:
    """What stands before the names in a folder, as `Path` writes it."""
    text = str(folder)
    return "" if text == os.curdir else text.removesuffix(os.sep) + os.sep


def _is_wanted(entry: os.DirEntry[str], before: str, report: Report) -> bool:
    """Whether it is a policy file or a folder. Names that begin with a dot are editors' and ConfigMaps' own."""
    if entry.name.startswith("."):
        return False
    if entry.name.endswith(".yml"):
        report.warn(_mark(before + entry.name), "not-read", "only `*.yaml` is read: rename the file")
    try:
        return entry.name.endswith(_SUFFIX) or Path(before + entry.name).is_dir()  # a link to itself is none
    except OSError:
        return True  # it may be a folder of policies: to open it is to say why not


def _read(path: str, name: str, report: Report) -> PolicyFile | None:
    """One file's bytes, or None (reported). Opened without waiting, so a pipe in its place cannot hang the reader."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                report.error(_mark(path), "cannot be read: not a regular file")
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                content = stream.read(LARGEST_FILE + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        report.error(_mark(path), _why(error))
        return None
    if len(content) > LARGEST_FILE:
        report.error(_mark(path), "is larger than the 1 MiB a policy file may be")
        return None
    return PolicyFile(_mark(path).file, name, content, _identity(facts))


def _mark(path: str | Path) -> Mark:
    """A place in the file, whose name may hold any bytes."""
    return Mark(os.fsencode(path).decode(errors="replace"))


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"
