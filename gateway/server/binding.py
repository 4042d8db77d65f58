"""What the listeners stand on, had before anything is announced: two sockets and, for TLS, a certificate and key."""

import errno
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from gateway.server.listener import bind_socket
from gateway.server.tls import Certificate, TLSFiles

Address = tuple[str, int]

_CHOICES = {"public": ("--port", "GATEWAY_PORT"), "admin": ("--admin-port", "GATEWAY_ADMIN_PORT")}
_CERTIFICATE = ("GATEWAY_TLS_CERT", b"-----BEGIN CERTIFICATE-----", "holds no certificate in PEM form")
_KEY = ("GATEWAY_TLS_KEY", b" PRIVATE KEY-----", "holds no private key in PEM form")


class Ground(NamedTuple):
    """The sockets of the public and the admin listener, and the public one's TLS files if it has any."""

    public: socket.socket
    admin: socket.socket
    tls: TLSFiles | None


class CannotListenError(Exception):
    """An address or the TLS files cannot be had; the text says which and why, one line per problem."""


def bind_both(public: Address, admin: Address) -> tuple[socket.socket, socket.socket]:
    """The sockets of the public and the admin listener. Raises CannotListenError with neither left open."""
    with ExitStack() as bound:
        first = bound.enter_context(_bind(public, "public"))
        try:
            second = bound.enter_context(_bind(admin, "admin"))
        except CannotListenError:
            if admin[1] == first.getsockname()[1]:
                both = f"GATEWAY_PORT and GATEWAY_ADMIN_PORT are both {admin[1]}: give each listener a port of its own"
                raise CannotListenError(both) from None
            raise
        bound.pop_all()
    return first, second


def _bind(address: Address, label: str) -> socket.socket:
    host, port = address
    try:
        return bind_socket(host, port)
    except UnicodeError:
        why = "this is no host name"
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            flag, variable = _CHOICES[label]
            why = "the port is taken; is another gateway running? If that one shall stay, choose another port with "
            why += f"{flag} or {variable}"
    raise CannotListenError(f"cannot listen on {host}:{port} ({label}): {why}")


def find_tls(cert: str, key: str) -> TLSFiles | None:
    """The TLS files by their paths, once they were loaded; None without. Raises CannotListenError."""
    if not cert:
        return None
    problems = [*_problems(cert, _CERTIFICATE), *_problems(key, _KEY)]
    if problems:
        raise CannotListenError("\n".join(problems))
    files = TLSFiles(Path(cert), Path(key))
    try:
        Certificate(files)
    except OSError as error:  # ssl.SSLError is one
        why = "they cannot be used; is the key protected by a passphrase?"
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            why = "the key is not the certificate's"
        raise CannotListenError(f"GATEWAY_TLS_CERT {cert} and GATEWAY_TLS_KEY {key}: {why}") from None
    return files


def _problems(path: str, wanted: tuple[str, bytes, str]) -> list[str]:
    variable, mark, lacking = wanted
    try:
        return [] if mark in Path(path).read_bytes() else [f"{variable} {path}: {lacking}"]
    except OSError as error:
        return [f"{variable} {path}: {error.strerror}"]
