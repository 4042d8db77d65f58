"""The command line: which commands there are, and how the chosen one is run."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gateway import __version__
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.core.nodes import suggest

PROGRAM = "gmi-gateway"

COMMANDS = {
    "serve": "run the gateway",
    "demo": "a simulated upstream and a gateway, with the whole story told as curl commands",
    "simulate": "run the simulated upstream alone",
    "check": "validate policy files, naming every problem at once",
    "schema": "print the JSON Schema of the policy files, for editors",
    "explain": "say why a job would be allowed or refused, rule by rule, and what it costs",
    "keys": "make, rotate, revoke and list the teams' keys",
    "diff": "say what changes in effect between two sets of policies, team by team",
    "replay": "run an access log against other policies: who would now be refused, and why",
    "usage": "jobs, money and refused calls of a month or several, by team, key and model",
    "ledger": "migrate, verify or export the ledger",
    "webhooks": "list what teams' receivers were told, and tell it again",
    "doctor": "look at everything a gateway depends on, and say what to do about what is wrong",
    "health": "ask the gateway on this machine whether it is ready, for a container's health check",
    "completion": "print the completion script of a shell",
}


class _Parser(argparse.ArgumentParser):
    """One whose actions, parsers of this class as well, say for themselves that they do not know an option.

    argparse would leave that to the command, whose usage tells nothing of what its action takes.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """The options. Ends the program, as argparse does, where there are others."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown


def run_command(arguments: Sequence[str], environment: Mapping[str, str], now: float) -> int:
    """Run the command that `arguments` name, at the instant `now`; its exit status.

    Raises SystemExit as argparse does: 0 after `--help`, 2 for an unknown command or option.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    name = _command_in(arguments)
    # By name, so that `check` or `keys` answers at once and does not first load a web server and a database.
    command = importlib.import_module(f"gateway.cli.{name}")
    parser = _Parser(
        prog=f"{PROGRAM} {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_options(parser)
    options = parser.parse_args(arguments[1:])
    try:
        status: int = command.run(Invocation(options, environment, now))
        sys.stdout.flush()
    except CannotRunError as error:
        print(f"{PROGRAM} {name}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, `head` say, has seen enough. Without this the interpreter complains once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells say it
    return status


def _command_in(arguments: Sequence[str]) -> str:
    """The command's name. Raises SystemExit, as argparse does, where there is none or it is no command's."""
    overview = _overview()
    name: str = overview.parse_args(arguments[:1]).command
    if name not in COMMANDS:
        advice = suggest(name, COMMANDS)
        overview.error(f"there is no command `{name}`{advice}\n`{PROGRAM} --help` lists all commands.")
    return name


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s COMMAND [OPTION…]",
        description="Team keys, exact quotas and budgets, and isolated jobs in front of GMI Cloud's API.",
        epilog="\n".join(
            [
                "commands:",
                *(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()),
                "",
                f"`{PROGRAM} COMMAND --help` tells more.",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("command", metavar="COMMAND", help="what to do")
    return parser
