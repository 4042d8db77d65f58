"""Upstream's keys and organisations: read where the policy says, shown to nobody."""

import re
import stat
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from gateway.core.policy import Credential, PolicySet, Source

_READ_AGAIN = 2.0
"""Seconds a file's text is believed before the file is looked at again."""

_LARGEST_FILE = 64 * 1024
_SHORTEST_SECRET = 8
"""Characters from which on a key is looked for in answers; GMI's own have about 250."""

_DEFAULT_KEY = Source("env", "GMI_API_KEY")
_DEFAULT_KEY_FILE = "GMI_API_KEY_FILE"
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that may be sent to upstream and shown nowhere else."""

    text: str

    def __repr__(self) -> str:
        return "Secret(…)"


def traces_of(secret: str) -> frozenset[bytes]:
    """What a text holds that contains the secret: the secret as it is, URL-encoded or in base64.

    One shorter than a secret can be is a word that stands for one in a trial, and stands in any text: it has none.
    """
    if len(secret) < _SHORTEST_SECRET:
        return frozenset()
    raw = secret.encode()
    quoted = quote(raw, safe="")
    found = {raw, quoted.encode(), quoted.lower().encode()}
    for encode in (b64encode, urlsafe_b64encode):
        found |= {_inner_base64(encode, raw, offset) for offset in range(3)}
    return frozenset(found)


def _inner_base64(encode: Callable[[bytes], bytes], raw: bytes, offset: int) -> bytes:
    """The characters that stand for `raw` alone wherever base64 puts it `offset` bytes after a multiple of three."""
    first = -(-offset * 8 // 6)
    last = (offset + len(raw)) * 8 // 6
    return encode(b"\0" * offset + raw)[first:last]


@dataclass(frozen=True, slots=True)
class Access:
    """What one credential sends: its keys in the order they are tried, and the organisation, if any.

    A text that contains one of the keys holds one of the `traces`.
    """

    keys: tuple[Secret, ...]
    organization: Secret | None
    traces: tuple[bytes, ...] = field(repr=False)


def _secrets(texts: Iterable[str]) -> tuple[Secret, ...]:
    """Those of the texts that a header may carry."""
    stripped = (text.strip() for text in texts)
    return tuple(Secret(text) for text in stripped if _HEADER_TEXT.fullmatch(text))


@lru_cache(maxsize=64)
def _access(keys: tuple[str, ...], organization: str) -> Access:
    """What these texts, as they were read, make: the same for nearly every call."""
    secrets = _secrets(keys)
    traces = frozenset[bytes]().union(*[traces_of(secret.text) for secret in secrets])
    return Access(secrets, next(iter(_secrets([organization])), None), tuple(traces))


@dataclass(frozen=True, slots=True)
class _FileText:
    """A file's text as it was at `checked_at`; `stamp` tells a changed file without reading it."""

    text: str
    stamp: tuple[int, int, int] | None
    checked_at: float


class Credentials:
    """The secrets behind the policy's credentials, files read again when they change.

    `GMI_API_KEY_FILE` stands in for `env:GMI_API_KEY` where that variable is not set. `find` gives a credential by
    its name in the policy generation in force.
    """

    def __init__(
        self,
        find: Callable[[str], Credential | None],
        environment: Mapping[str, str],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._environment = dict(environment)  # the system's own is encoded anew for every look at it
        self._ticks = ticks
        self._files: dict[str, _FileText] = {}
        self._lasting: dict[str, tuple[Credential, Access]] = {}
        """What cannot change while the credential is the same: no part of it stands in a file."""

    def access(self, name: str) -> Access:
        """What the named credential sends now; without keys if none can be read."""
        credential = self._find(name)
        if credential is None:
            return Access((), None, ())
        lasting = self._lasting.get(name)
        if lasting is not None and lasting[0] is credential:
            return lasting[1]
        organization = self._read(credential.organization) if credential.organization is not None else ""
        access = _access(tuple([self._read(source) for source in credential.api_keys]), organization)
        sources = (*credential.api_keys, credential.organization)
        if not any(self.path_of(source) for source in sources if source is not None):
            self._lasting[name] = (credential, access)
        return access

    def missing(self, policies: PolicySet) -> list[str]:
        """For each credential a team needs: why its key or organisation cannot be sent. Shows neither."""
        needed = sorted({team.credential for team in policies.teams.values()})
        problems = []
        for name in needed:
            credential = policies.credentials.get(name)
            if credential is None:
                problems.append(f"credential {name!r}: not defined")
                continue
            if not _secrets([self._read(source) for source in credential.api_keys]):
                reasons = "; ".join(self.fault(source) for source in credential.api_keys)
                problems.append(f"credential {name!r}: no API key: {reasons}")
            organization = credential.organization
            if organization is None or _secrets([self._read(organization)]):
                continue
            if not organization.optional or self._read(organization).strip():
                problems.append(f"credential {name!r}: no organisation: {self.fault(organization)}")
        return problems

    def secret(self, source: Source) -> Secret | None:
        """What one source holds now; None if there is nothing that could be used."""
        return next(iter(_secrets([self._read(source)])), None)

    def fault(self, source: Source) -> str:
        """Why there is nothing in the source that could be sent, without the text it holds."""
        place, path = source.value, self.path_of(source)
        if source == _DEFAULT_KEY and not self._environment.get(source.value):
            place = f"{_DEFAULT_KEY_FILE} {path}" if path else f"{source.value} or {_DEFAULT_KEY_FILE}"
        if self._read(source).strip():
            return f"{place} holds spaces or other characters that no header may carry"
        if not path:
            return f"{place} is not set"
        try:
            readable = _look_at(Path(path), None)[0] is not None
        except OSError as error:
            return f"{place}: {error.strerror}"
        except UnicodeDecodeError:
            readable = False
        return f"{place} is empty" if readable else f"{place} is no small text file"

    def path_of(self, source: Source) -> str:
        """The file the source's text stands in; empty if it stands elsewhere."""
        if source.kind == "file":
            return source.value
        if source == _DEFAULT_KEY and not self._environment.get(source.value):
            return self._environment.get(_DEFAULT_KEY_FILE, "")
        return ""

    def _read(self, source: Source) -> str:
        if path := self.path_of(source):
            return self._read_file(path)
        return self._environment.get(source.value, "") if source.kind == "env" else source.value

    def _read_file(self, path: str) -> str:
        known = self._files.get(path)
        now = self._ticks()
        if known is not None and now - known.checked_at < _READ_AGAIN:
            return known.text
        try:
            stamp, text = _look_at(Path(path), known)
        except (OSError, UnicodeDecodeError):
            stamp, text = None, ""
        self._files[path] = _FileText(text, stamp, now)
        return text


def _look_at(path: Path, known: _FileText | None) -> tuple[tuple[int, int, int] | None, str]:
    """The file's stamp and text. What is no plain small file (a pipe would block) has neither."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > _LARGEST_FILE:
        return None, ""
    stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return stamp, known.text if known is not None and known.stamp == stamp else path.read_text("utf-8")
