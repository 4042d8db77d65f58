"""Run the gateway: a public listener for the teams, an admin listener for you.

Each setting is a flag, else an environment variable, else its default. SIGTERM drains, SIGHUP reloads the policies.
"""

import logging
from argparse import ArgumentParser
from collections.abc import Mapping
from importlib import import_module

from gateway import __version__
from gateway.app import budget_of, serve
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import SETTINGS, add_settings, default_text
from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable
from gateway.logs import configure, log_event
from gateway.server.run import keep_freed_memory, run_in_loop
from gateway.settings import Settings, variable_of
from gateway.starting import StartError

CREDENTIALS = (
    ("GMI_API_KEY", "The real GMI API key, unless the policies name another source."),
    ("GMI_API_KEY_FILE", "File that holds it, where the variable is not set; read again when it changes."),
    ("GMI_ORG_ID", "The organisation to act for, where the key sees several."),
)


def add_options(parser: ArgumentParser) -> None:
    """Every setting: those with a flag as options, the others listed with their variable."""
    flags = [name for name, field in SETTINGS.items() if field.metadata["flag"]]
    add_settings(parser, *flags)
    others = [
        (variable_of(name), f"{field.metadata['meaning']} [default {default_text(name)}]")
        for name, field in SETTINGS.items()
        if name not in flags
    ]
    lines = [f"  {variable:26} {meaning}" for variable, meaning in (*others, *CREDENTIALS)]
    parser.epilog = "\n".join(["environment variables:", *lines])


def run(call: Invocation) -> int:
    """Serve until told to end."""
    settings = call.settings
    several = settings.workers > 1
    keep_freed_memory(budget_of(settings).kept_free)
    configure(settings.log_format, settings.log_level, at_once=several)
    try:
        _log_start(settings, call.environment)
        if several:
            # By name, because one process has no use for what looks after several.
            status: int = import_module("gateway.cli.workers").serve_with_workers(settings, call.environment)
        else:
            status = run_in_loop(serve(settings, call.environment))
    except LedgerUnavailable as error:
        raise CannotRunError(f"cannot start\nledger: {error}") from None
    except StartError as error:
        raise CannotRunError(f"cannot start\n{error}") from None
    log_event(logging.INFO, "stopped", status=status)
    return status


def _log_start(settings: Settings, environment: Mapping[str, str]) -> None:
    """The log's first line says what runs here, without a secret. Raises LedgerUnavailable for a URL that is none."""
    ledger = ledger_url(settings.ledger)
    log_event(
        logging.INFO,
        "starting",
        version=__version__,
        upstream="the simulator" if settings.simulate else settings.upstream_url,
        simulate=settings.simulate,
        workers=settings.workers,
        ledger=backend_of(ledger).name_of(ledger),
    )
    if environment.get("GMI_API_KEY") and environment.get("GMI_API_KEY_FILE"):
        log_event(logging.WARNING, "key file passed over", variable="GMI_API_KEY", file="GMI_API_KEY_FILE")
