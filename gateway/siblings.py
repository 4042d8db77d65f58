"""The other workers on this machine: what each of them counts in memory, put together when somebody asks.

Every worker answers on a socket in a folder only they can enter. What it last said of its counts stays there as a file
when it is gone, so that sums over all never fall: Prometheus would take that for a restart of everything. When another
has taken its place, its file becomes part of one that stands for all that are gone:

    NAME        the socket of a worker
    NAME.left   what it last said
    all.gone    whose words it holds (the latest of them), and then these words as if one worker had said them
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 1.0
"""Seconds a sibling may take to answer, before the others' answers are all there is."""

_LONGEST_QUESTION = 64
_GONE = "all.gone"
_NAMES_KEPT = 16
"""More than can have gone while somebody reads."""

Answers = Mapping[str, Callable[[], Awaitable[bytes]]]
"""What can be asked, and how it is answered."""


class Siblings:
    """The workers that meet in `folder`; without one there are none, and nobody is asked.

    `name` is this one's, and was no other's before.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = folder
        self._name = name
        self._server: asyncio.Server | None = None
        self._answers: Answers = {}
        self._leaving = asyncio.Lock()

    @property
    def may_be(self) -> bool:
        """Whether this is one of several workers, whatever became of the others."""
        return self._folder is not None

    async def open(self, answers: Answers) -> None:
        """Answer the others from now on."""
        self._answers = answers
        if self._folder is not None:
            self._server = await asyncio.start_unix_server(self._answer, self._folder / self._name)

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None and self._folder is not None:
            self._server.close()
            (self._folder / self._name).unlink(missing_ok=True)

    async def ask(self, question: str) -> dict[str, bytes]:
        """What the others answer, by their names; whoever does not in time is left out."""
        others = [path for path in self._paths() if not path.suffix and path.name != self._name]
        answers = await asyncio.gather(*(_ask(path, question) for path in others))
        return {path.name: answer for path, answer in zip(others, answers, strict=True) if answer is not None}

    async def leave(self, make: Callable[[], bytes]) -> bytes:
        """What `make` gives, which shall be known of this worker once it is gone; the last counts.

        One after the other, although several may ask at once: an older one must never replace a newer.
        """
        async with self._leaving:
            words = await asyncio.to_thread(make)
            if self._folder is not None:
                await asyncio.to_thread(self._write_down, self._folder, words)
        return words

    def _write_down(self, folder: Path, words: bytes) -> None:
        new = folder / f"{self._name}.new"
        new.write_bytes(words)
        new.rename(folder / f"{self._name}.left")

    def left(self, present: dict[str, bytes]) -> list[bytes]:
        """What the workers left that are not `present`. One that was cleared away since it answered is not any more.

        The list of files is read before the file of those that are gone: so one that becomes part of it meanwhile is
        either named there, or missing here, and then all is read again.
        """
        while True:
            paths = [path for path in self._paths() if path.suffix == ".left"]
            names, words = _read_gone(self._folder)
            for name in names:
                present.pop(name, None)
            with suppress(FileNotFoundError):
                others = [path for path in paths if path.stem not in {self._name, *present, *names}]
                return [*words, *(path.read_bytes() for path in others)]

    def _paths(self) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.iterdir())

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            answer = self._answers.get((await reader.read(_LONGEST_QUESTION)).decode(errors="replace"))
            if answer is not None:
                writer.write(await answer())
                await writer.drain()
        writer.close()


def clear_away(folder: Path, name: str, merge: Callable[[Sequence[bytes]], bytes]) -> None:
    """A worker that is gone, and whose last answer nobody waits for any more, leaves no file of its own.

    Its words and those of all before it become one. Only the workers' parent does this, for one after the other.
    """
    (folder / name).unlink(missing_ok=True)
    (folder / f"{name}.new").unlink(missing_ok=True)
    own = folder / f"{name}.left"
    if own.exists():
        names, words = _read_gone(folder)
        new = folder / f"{_GONE}.new"
        new.write_bytes(" ".join([*names, name][-_NAMES_KEPT:]).encode() + b"\n" + merge([*words, own.read_bytes()]))
        new.rename(folder / _GONE)
        own.unlink()


def _read_gone(folder: Path | None) -> tuple[list[str], list[bytes]]:
    """The names of those that went last, and the words of all that are gone, if any are."""
    if folder is None or not (folder / _GONE).exists():
        return [], []
    names, _, words = (folder / _GONE).read_bytes().partition(b"\n")
    return names.decode().split(), [words]


async def _ask(path: Path, question: str) -> bytes | None:
    """The answer of the worker at this socket; None if it gives none, or is gone."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(question.encode())
                return await reader.read() or None
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
