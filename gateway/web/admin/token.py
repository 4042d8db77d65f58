"""The admin token: set as text, or in a file that may be exchanged while the gateway runs."""

import hmac
from pathlib import Path

from gateway.settings import Settings


class AdminToken:
    """Compares what a caller presents with the token in force."""

    def __init__(self, settings: Settings) -> None:
        self._text = settings.admin_token.encode()
        self._file = Path(settings.admin_token_file) if settings.admin_token_file else None

    @property
    def required(self) -> bool:
        """Whether a token is set at all. A file that cannot be read still is one: then nobody is admitted."""
        return self._file is not None or self._text != b""

    def admits(self, presented: bytes) -> bool:
        """Whether this is the token, compared in constant time."""
        token = self._in_force()
        return token != b"" and hmac.compare_digest(presented, token)

    def _in_force(self) -> bytes:
        """The file is read every time: it is small, these calls are few, and an exchanged token counts at once."""
        if self._file is None:
            return self._text
        try:
            return self._file.read_bytes().strip()
        except OSError:
            return b""
