"""Ask the gateway on this machine whether it is ready: for a container's health check, which has no curl.

It asks `/readyz` on the admin listener, where the settings say that one is. Exit status 0 if it is ready, 1 if it is
not or does not answer.
"""

from argparse import ArgumentParser
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address

from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import add_settings, saying_why
from gateway.core.quantities import parse_duration

PATIENCE = 3.0
"""Seconds a gateway has to answer."""


def add_options(parser: ArgumentParser) -> None:
    """Where to ask, for how long, and what."""
    parser.add_argument("--live", action="store_true", help="ask /healthz instead: whether the process answers at all")
    parser.add_argument("--timeout", type=saying_why(parse_duration), default=PATIENCE, help=f"default {PATIENCE:g} s")
    add_settings(parser, "admin_host", "admin_port")


def run(call: Invocation) -> int:
    """Ask, and print what it says."""
    settings = call.settings
    if settings.admin_port == 0:
        raise CannotRunError("port 0 is any port: say which one with --admin-port or GATEWAY_ADMIN_PORT")
    host = near(settings.admin_host)
    path = "/healthz" if call.options.live else "/readyz"
    with closing(HTTPConnection(host, settings.admin_port, timeout=call.options.timeout)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace").strip()
        except (OSError, HTTPException) as error:
            print(f"no answer from {host}:{settings.admin_port}: {str(error).strip() or type(error).__name__}")
            return 1
    print(text)
    return 0 if answer.status == 200 else 1


def near(host: str) -> str:
    """Where a listener bound to `host` is reached from its own machine: every address is loopback as well."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
