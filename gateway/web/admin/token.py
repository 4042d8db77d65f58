"""The admin token: set as text, or in a file that may be exchanged while the gateway runs."""

import hashlib
import hmac
import logging
import re
from pathlib import Path

from gateway.logs import log_event
from gateway.settings import Settings

_SESSION = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class AdminToken:
    """Compares what a caller presents with the token in force."""

    def __init__(self, settings: Settings) -> None:
        self._text = settings.admin_token.encode()
        self._file = Path(settings.admin_token_file) if settings.admin_token_file else None
        self._reported = ""

    @property
    def required(self) -> bool:
        """Whether a token is set at all. A file that cannot be read still is one: then nobody is admitted."""
        return self._file is not None or self._text != b""

    def problem(self) -> str:
        """Why the file gives no token now, or nothing."""
        return self._read()[1]

    def admits(self, presented: bytes) -> bool:
        """Whether this is the token, compared in constant time. A file that gives none is reported once."""
        token, problem = self._read()
        if problem and problem != self._reported:
            log_event(logging.ERROR, "admin token cannot be read", reason=problem)
        self._reported = problem
        return token != b"" and hmac.compare_digest(presented, token)

    def sign(self, ends: int) -> str:
        """A session until `ends`, unix seconds, for one who has shown the token."""
        return f"{ends}.{_signature(self._read()[0], ends)}"

    def admits_session(self, session: str, now: float) -> bool:
        """Whether this was signed with the token in force and has not ended."""
        found, token = _SESSION.fullmatch(session), self._read()[0]
        if found is None or token == b"" or now >= int(found[1]):
            return False
        return hmac.compare_digest(found[2], _signature(token, int(found[1])))

    def _read(self) -> tuple[bytes, str]:
        """The token, or why there is none.

        The file is read every time: it is small, these calls are few, and an exchanged token counts at once.
        """
        if self._file is None:
            return self._text, ""
        try:
            token = self._file.read_bytes().strip()
        except OSError as error:
            return b"", f"GATEWAY_ADMIN_TOKEN_FILE {self._file}: {error.strerror}"
        return token, "" if token else f"GATEWAY_ADMIN_TOKEN_FILE {self._file}: the file is empty"


def _signature(token: bytes, ends: int) -> str:
    return hmac.new(token, b"gmi-gateway admin session until %d" % ends, hashlib.sha256).hexdigest()
