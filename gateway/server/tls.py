"""The certificate of a listener, exchanged without a restart."""

import hashlib
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.logs import log_event

_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files: the certificate with its chain, and its key without a passphrase."""

    cert: Path
    key: Path


class Certificate:
    """The context a listener serves TLS with. New connections use the newest certificate that could be loaded.

    A new certificate gets a context of its own, chosen when a handshake begins: changing one in use could be caught
    between the certificate of one pair and the key of the other.
    """

    def __init__(self, files: TLSFiles) -> None:
        """Raises OSError if a file cannot be read, ssl.SSLError if they are not a certificate and its key."""
        self._files = files
        self._seen = _digest(files)
        self._current = _load(files)
        self._next_look = 0.0
        self.context = self._current
        self.context.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
        handshake.context = self._current

    def refresh(self, now: float) -> None:
        """Look at the files every two seconds, by content: a mounted secret changes by a symlink and keeps its times.

        Files that do not fit together keep the old certificate, and are reported once for each state they are in.
        """
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        try:
            found = _digest(self._files)
            if found == self._seen:
                return
            self._seen = found
            self._current = _load(self._files)
        except OSError as fault:  # ssl.SSLError is one
            log_event(logging.ERROR, "certificate not reloaded", reason=fault.strerror or type(fault).__name__)
        else:
            log_event(logging.INFO, "certificate reloaded")


def _digest(files: TLSFiles) -> bytes:
    return hashlib.sha256(files.cert.read_bytes() + b"\0" + files.key.read_bytes()).digest()


def _load(files: TLSFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # An empty passphrase: a key that needs one is an error, not a question on the terminal.
    context.load_cert_chain(files.cert, files.key, password="")
    return context
