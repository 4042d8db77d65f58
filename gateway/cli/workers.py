"""`serve --workers N`: what the workers share is made here, before there are any."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

from gateway import siblings
from gateway.app import Seat, bind, serve
from gateway.server.run import run_in_loop
from gateway.server.workers import Post, Supervisor, become
from gateway.settings import Settings
from gateway.stand_in import StandIn, simulated
from gateway.starting import StartError
from gateway.telemetry.together import merge


def serve_with_workers(settings: Settings, environment: Mapping[str, str]) -> int:
    """Serve in as many processes as the settings say, until told to end; the exit status. Raises StartError."""
    with ExitStack() as stack:
        sockets = bind(settings)
        for each in sockets:
            stack.enter_context(each)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gmi-gateway-"))
        stand_in, simulator = stack.enter_context(_simulator(sockets)) if settings.simulate else (None, None)

        def work(post: Post) -> int:
            seat = Seat(post, sockets, Path(folder), stand_in)
            try:
                return run_in_loop(serve(settings, environment, seat))
            except StartError as error:
                print(f"gmi-gateway serve: cannot start\n{error}", file=sys.stderr)
                return 2

        def clear_away(name: str) -> None:
            with suppress(OSError):  # what stays costs a scrape a little time
                siblings.clear_away(Path(folder), name, merge)

        crew = Supervisor(settings.workers, work, sys.stderr, clear_away, inherited=sockets, needed=simulator)
        return crew.run()


@contextmanager
def _simulator(inherited: Iterable[socket.socket]) -> Iterator[tuple[StandIn, int]]:
    """One simulator for all workers, in a process of its own, and that process. Raises StartError.

    It keeps none of the listening sockets it inherited, or their ports would stay taken while it lives.
    """
    ours, theirs = os.pipe()
    lifeline, life = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        os.close(life)
        for each in inherited:
            each.close()
        become(lambda: _simulate(theirs, lifeline))
    os.close(theirs)
    os.close(lifeline)
    with os.fdopen(ours) as told, os.fdopen(life, "w"):
        facts = told.read().splitlines()
        if not facts:
            raise StartError("the simulator did not start")
        yield StandIn(*facts), pid
    with suppress(ChildProcessError):  # the supervisor saw its end
        os.waitpid(pid, 0)


def _simulate(told: int, lifeline: int) -> int:
    """Run the simulator and tell what is to be known of it, until whoever holds the lifeline's other end is gone."""

    async def simulate() -> None:
        alone = asyncio.Event()
        asyncio.get_running_loop().add_reader(lifeline, alone.set)
        async with simulated() as stand_in:
            with os.fdopen(told, "w") as parent:
                parent.write("\n".join(astuple(stand_in)))
            await alone.wait()

    run_in_loop(simulate())
    return 0
