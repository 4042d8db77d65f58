"""Show everything on this machine alone: a simulated GMI upstream, and a gateway on the sample policies.

The whole story is told, each step as the `curl` that does it, to be pasted while the demo is up. Nothing leaves this
machine, no account is needed, and the policies and the ledger are temporary copies.
"""

import asyncio
import functools
import os
import secrets
import shlex
import shutil
import socket
import sys
import sysconfig
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

from gateway.app import Running, running
from gateway.cli.demo_story import DEAR, TEAMS, Story
from gateway.cli.ending import until_signalled
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import saying_why
from gateway.core.keys import RANDOM_BYTES, digest, make_key
from gateway.policies.edit import EditError, add_key, find_team_file, rewrite
from gateway.server.run import run_in_loop
from gateway.settings import Settings, parse_port
from gateway.starting import StartError

PROGRAM = "gmi-gateway"

_UNTOLD = """\
A step did not come out as told: see ✗ above.
The story is told for the sample policies as they came. Were those in {} changed?"""

USUAL_PORTS = {"port": 8080, "admin_port": 9090}
"""Where the demo listens, unless something else does already."""


def add_options(parser: ArgumentParser) -> None:
    """How long it stays, and where it listens."""
    parser.add_argument("--once", action="store_true", help="end after the story; exit status 1 if a step went wrong")
    for name, port in USUAL_PORTS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=saying_why(parse_port),
            metavar="PORT",
            help=f"0 picks one; default {port}, or another if that is taken",
        )
    parser.add_argument("--policies", metavar="DIR", help="the sample policies, where they are not found by themselves")


def run(call: Invocation) -> int:
    """Tell the story, then stay up until told to end."""
    sample = _sample_policies(call.options.policies)
    with tempfile.TemporaryDirectory(prefix=f"gmi-gateway-demo-{os.getpid()}-") as name:
        folder = Path(name)
        try:
            keys = _copy_policies(sample, folder / "policies")
        except (EditError, OSError) as error:
            raise CannotRunError(f"the sample policies in {sample} cannot be used: {error}") from None
        settings = Settings(
            simulate=True,
            policies=str(folder / "policies"),
            ledger=f"sqlite:///{folder / 'gateway.db'}",
            log_level="error",
            access_log=False,
            port=_port(call.options.port, USUAL_PORTS["port"]),
            admin_port=_port(call.options.admin_port, USUAL_PORTS["admin_port"]),
        )
        try:
            told = run_in_loop(until_signalled(_play(settings, keys, folder, sample, stay=not call.options.once)))
        except StartError as error:
            problems = str(error).replace(settings.policies, str(sample))
            raise CannotRunError(f"cannot start\n{problems}") from None
    return 1 if call.options.once and not told else 0


async def _play(settings: Settings, keys: Mapping[str, str], folder: Path, sample: Path, *, stay: bool) -> bool:
    """Start everything, tell the story, and stay for ever if asked to; whether all came out as told."""
    async with running(settings, {}) as gateway:
        print(f"Everything below happens on this machine{'; paste any command while the demo is up' if stay else ''}.")
        print(f"The policies are a copy of those in {sample}, with a new key for each team of the story.")
        told = await Story(gateway.public_url, keys, folder).tell()
        print("\nEvery step came out as told." if told else f"\n{_UNTOLD.format(sample)}")
        if stay:
            _print_places(gateway, keys, settings)
            await asyncio.Event().wait()
        return told


def _print_places(gateway: Running, keys: Mapping[str, str], settings: Settings) -> None:
    """Where everything is, and two commands that look at it from another terminal."""
    places = {
        "gateway": gateway.public_url,
        "admin": gateway.admin_url,
        "simulated GMI": gateway.simulator_url or "",
        "policies": settings.policies,
        "ledger": settings.ledger,
        **{f"key of {team}": key for team, key in keys.items()},
    }
    where = f"--policies {shlex.quote(settings.policies)} --ledger {shlex.quote(settings.ledger)}"
    print("\nWhy research may not make that film, and what everybody used:")
    program = PROGRAM if shutil.which(PROGRAM) else f"{shlex.quote(sys.executable)} -m gateway"
    print(f"   $ {program} explain --team research --model {DEAR['model']} {where}")
    print(f"   $ {program} usage {where}\n")
    print("The demo stays up until Ctrl-C:")
    width = max(map(len, places))
    for name, place in places.items():
        print(f"  {name:{width}}  {place}", flush=True)


def _sample_policies(given: str | None) -> Path:
    """The sample policies: as given, else beside the source tree, else where the wheel puts its data."""
    places = (
        [Path(given)]
        if given
        else [
            Path(__file__).parents[2] / "policies",
            Path(sysconfig.get_path("data")) / "share" / "gmi-gateway" / "policies",
        ]
    )
    for place in places:
        if place.is_dir():
            return place
    tried = " or ".join(map(str, places))
    raise CannotRunError(f"the sample policies are not in {tried}: point to them with --policies DIR")


def _copy_policies(sample: Path, copy: Path) -> Mapping[str, str]:
    """Copy the sample, with a new key for each team of the story; the keys by team."""
    shutil.copytree(sample, copy)
    keys = {team: make_key(secrets.token_bytes(RANDOM_BYTES)) for team in TEAMS}
    for team, key in keys.items():
        rewrite(find_team_file(copy, team), functools.partial(add_key, name="demo", digest=digest(key)))
    return keys


def _port(chosen: int | None, usual: int) -> int:
    """The port asked for, else the usual one, or 0 for any where that is taken."""
    if chosen is not None:
        return chosen
    try:
        socket.create_server(("127.0.0.1", usual)).close()
    except OSError:
        return 0
    return usual
