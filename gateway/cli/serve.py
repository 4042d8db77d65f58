"""Run the gateway: a public listener for the teams, an admin listener for you.

Each setting is a flag, else an environment variable, else its default. SIGTERM drains, SIGHUP reloads the policies.
"""

from argparse import ArgumentParser

from gateway.app import StartError, serve
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import SETTINGS, add_settings, default_text
from gateway.server.run import run_in_loop
from gateway.settings import variable_of

CREDENTIALS = (
    ("GMI_API_KEY", "The real GMI API key, unless the policies name another source."),
    ("GMI_API_KEY_FILE", "File that holds it; read again when it changes."),
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
    try:
        return run_in_loop(serve(call.settings, call.environment))
    except StartError as error:
        raise CannotRunError(f"cannot start\n{error}") from None
