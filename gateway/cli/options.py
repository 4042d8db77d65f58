"""Options that are settings: `--policies` means the same in every command, and so does GATEWAY_POLICIES."""

import dataclasses
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.core.quantities import parse_duration, parse_size
from gateway.settings import Settings, flag_of, parse_switch, variable_of

T = TypeVar("T")

SETTINGS = {field.name: field for field in dataclasses.fields(Settings)}


def add_settings(parser: ArgumentParser, *names: str) -> None:
    """Options for these settings; absent ones are None, so that the environment counts."""
    for name in names:
        facts = SETTINGS[name].metadata
        text = f"{facts['meaning']} [{variable_of(name)}, default {default_text(name)}]".replace("%", "%%")
        if facts["parse"] is parse_switch:
            parser.add_argument(flag_of(name), dest=name, action="store_const", const="on", help=text)
        else:
            metavar = name.rpartition("_")[2].upper()
            parser.add_argument(flag_of(name), dest=name, metavar=metavar, help=text)


def default_text(name: str) -> str:
    """A setting's default as its reader would write it: `32 MiB`, `on`, `none`."""
    default: Any = SETTINGS[name].default
    parse = SETTINGS[name].metadata["parse"]
    if parse is parse_switch:
        return "on" if default else "off"
    if parse is parse_size:
        return f"{default // 1024**2} MiB"
    if parse is parse_duration:
        return f"{default:g} s"
    return str(default) if default not in ("", ()) else "none"


def saying_why(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` as an option's type: argparse shows the sentence of an ArgumentTypeError, but not of a ValueError."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return read
