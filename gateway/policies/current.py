"""The policies in force: swapped whole when the files change, and kept when the new ones are wrong."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.core.nodes import Problem
from gateway.core.policy import PolicySet
from gateway.logs import log_event
from gateway.policies.files import PolicyFile, Reading, read_once
from gateway.policies.load import load, parse_reading

_MOST_LOGGED = 20

KnownModels = Callable[[], AbstractSet[str] | None]
Lacking = Callable[[PolicySet], Sequence[str]]
"""What a set needs from outside of its files (keys, secrets, settings) and does not find there."""


class _Sent(NamedTuple):
    """A file as another process is told of it. A name on disk is any bytes."""

    path: str
    name: bytes
    content: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[float, list[_Sent]]).decode


class Policies:
    """The snapshot every call takes once, and its upkeep.

    `current` is the last good set (before the first one: no team at all), `last_reload_at` the unix seconds since
    when it is in force; `problems` and `last_reload_ok` tell of the files as last tried. `reload` and `changed` block
    on the disk: call them in a thread. The swap is one assignment, so no call sees half of it.
    """

    def __init__(self, path: Path, known_models: KnownModels = lambda: None) -> None:
        """`known_models` gives upstream's catalogue, once it is known, to check patterns against."""
        self.current = PolicySet({}, {})
        self.problems: tuple[Problem, ...] = ()
        self.last_reload_ok = False
        self.last_reload_at = 0.0
        self._path = path
        self._known_models = known_models
        self._lacking: Lacking = lambda _: ()
        self._files: tuple[PolicyFile, ...] = ()
        self._tried: object = None
        self._looked: Reading | None = None
        self._state: object = None
        self._reloading = threading.Lock()

    def require(self, lacking: Lacking) -> None:
        """From now on refuse a set that lacks something which the one in force does not lack.

        What has gone missing since is no reason: with a key file away, a team key can still be revoked.
        """
        self._lacking = lacking

    @property
    def version(self) -> str:
        """The SHA-256 of the files in force: equal on replicas that have the same ones."""
        return self.current.version

    def changed(self, now: float) -> bool:
        """Whether the files hold something else than what was last tried. By content: a time that can be set proves
        nothing.
        """
        looked = read_once(self._path, self._looked, now)
        if looked != self._looked:
            self._state = looked.state
        self._looked = looked
        return self._state != self._tried

    def reload(self, now: float, *, asked: bool = False) -> bool:
        """Read the files and put them in force; where they are wrong, say so once and keep the old set: False.

        Who `asked` for it is told in any case. Without an old set nothing is said here: the gateway does not start, and
        says why.
        """
        with self._reloading:
            loaded = load(self._path, self._known_models(), now)
            news = loaded.state != self._tried
            self._tried = loaded.state
            lacks = [] if loaded.policy is None else self._newly_lacking(loaded.policy)
            self.problems = (*loaded.problems, *lacks)
            self.last_reload_ok = loaded.policy is not None and not lacks
            if loaded.policy is not None and not lacks:
                self._put_in_force(loaded.policy, loaded.files, now)
            if self.last_reload_at > 0 and (news or asked):
                self._log("policies in force" if news else "policies unchanged")
            return self.last_reload_ok

    def in_force(self) -> bytes:
        """The files in force, for another process on the same ones to `adopt`."""
        with self._reloading:
            files = [_Sent(file.path, os.fsencode(file.name), file.content) for file in self._files]
            return _encode((self.last_reload_at, files))

    def adopt(self, words: bytes) -> bool:
        """Put in force what another process has `in_force`, if it came later than this one's. Whether it did.

        The files themselves are as wrong as they were, and `problems` go on telling of them. Of a process that ended
        while it told them the words are half, and are passed over.
        """
        try:
            since, sent = _decode(words)
        except msgspec.DecodeError:
            return False
        with self._reloading:
            if since <= self.last_reload_at:
                return False
            files = tuple(PolicyFile(file.path, os.fsdecode(file.name), file.content) for file in sent)
            loaded = parse_reading(Reading(files, ()), self._known_models(), since)
            if loaded.policy is not None:
                news = loaded.policy.version != self.version
                self._put_in_force(loaded.policy, files, since)
                if news:
                    self._log("policies in force")
            return loaded.policy is not None

    def _put_in_force(self, policy: PolicySet, files: tuple[PolicyFile, ...], since: float) -> None:
        self._files = files
        self.last_reload_at = since
        self.current = policy

    def _newly_lacking(self, policy: PolicySet) -> list[Problem]:
        before = self._lacking(self.current)
        return [Problem(str(self._path), 1, 1, each) for each in self._lacking(policy) if each not in before]

    def _log(self, event: str) -> None:
        """One record, however many problems. Of wrong files it says that they are wrong, and not `event`."""
        level = logging.INFO
        if not self.last_reload_ok:
            level, event = logging.ERROR, "policies refused, the last good ones stay in force"
        fields: dict[str, object] = {"version": self.version}
        if self.problems:
            fields |= {"problems": [str(problem) for problem in self.problems[:_MOST_LOGGED]]}
            fields |= {"found": len(self.problems)}
        log_event(level, event, **fields)
