"""Print the completion script of a shell: every command, option and choice, as this version has them.

`source <(gmi-gateway completion bash)` in `~/.bashrc`; for zsh and fish put the script where they look for one.
"""

import argparse
import importlib
from argparse import ArgumentParser

import shtab

from gateway.cli.invocation import Invocation
from gateway.cli.parser import COMMANDS, PROGRAM

SHELLS = ("bash", "zsh", "fish")


def add_options(parser: ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to complete")


def run(call: Invocation) -> int:
    """Print the script."""
    print(shtab.complete(whole_parser(), call.options.shell))
    return 0


def whole_parser() -> ArgumentParser:
    """One parser with every command below it: what `run_command` takes apart, put together."""
    whole = argparse.ArgumentParser(prog=PROGRAM)
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    for name, summary in COMMANDS.items():
        parser = commands.add_parser(name, help=summary)
        importlib.import_module(f"gateway.cli.{name}").add_options(parser)
    return whole
