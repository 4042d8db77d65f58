"""Run the simulated GMI upstream alone, until Ctrl-C.

A fault is OPERATION:KIND[:AMOUNT[:TIMES]]: `create_request:429:0.5` refuses every second create,
`get_request:latency:2` delays every read by 2 s, `create_request:504:1:3` times out the first three creates.
"""

import math
import sys
from argparse import ArgumentParser

from gateway.cli.ending import until_signalled
from gateway.cli.invocation import CannotRunError, Invocation
from gateway.cli.options import saying_why
from gateway.server.run import run_in_loop
from gateway.settings import parse_port
from gateway.simulator import Settings, parse_fault, serve_forever


def add_options(parser: ArgumentParser) -> None:
    """Where it listens and how it behaves."""
    defaults = Settings()
    parser.add_argument("--host", default=defaults.host, help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=saying_why(parse_port), default=8081, help="port; 0 picks one (default %(default)s)"
    )
    parser.add_argument(
        "--speed",
        type=saying_why(_parse_speed),
        default=defaults.speed,
        help="how many times faster than production jobs run (default %(default)s)",
    )
    parser.add_argument(
        "--fault",
        type=saying_why(parse_fault),
        action="append",
        default=[],
        metavar="FAULT",
        help="a fault in force; repeatable",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="the only key accepted, with no organisation but the simulator's; repeatable "
        "(default: every key and organisation)",
    )


def run(call: Invocation) -> int:
    """Serve until told to end."""
    options = call.options
    settings = Settings(
        host=options.host,
        port=options.port,
        speed=options.speed,
        faults=tuple(options.fault),
        keys=tuple(options.key) or Settings.keys,
        any_key=not options.key,
    )
    try:
        run_in_loop(until_signalled(serve_forever(settings, lambda url: _announce(url, settings))))
    except OSError as error:
        raise CannotRunError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from None
    return 0


def _announce(url: str, settings: Settings) -> None:
    print(f"simulator listening on {url}", file=sys.stderr)
    print(f"GMI_API_KEY={settings.keys[0]} gmi-gateway serve --upstream {url}", file=sys.stderr, flush=True)


def _parse_speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < math.inf:
        raise ValueError("must be greater than 0")
    return speed
