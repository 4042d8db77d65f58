"""What can be chosen about one simulator."""

from dataclasses import dataclass, field

from gateway.simulator.faults import Fault

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A simulator's settings; the defaults are what `simulate` and `demo` start with."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one; `Simulator.url` tells which."""

    keys: tuple[str, ...] = field(default=("simulated-gmi-key",), repr=False)
    """API keys accepted as `Authorization: Bearer KEY`."""

    organizations: tuple[str, ...] = ("simulated-organization",)
    """Organisations the keys may name in `X-Organization-ID`; the first is meant where none is named."""

    any_key: bool = False
    """Accept every key, and every organisation that is a plain word; then no account need be known to use it."""

    speed: float = 15
    """How much faster than production jobs run: 15 makes a 90 s video take 6 s."""

    origin: str | None = None
    """Scheme and host written into artifact and upload URLs, where clients reach the simulator by another address."""

    seed: int | None = None
    """Makes request ids repeatable. None draws new ones at each start, as a gateway's ledger outlives us."""

    faults: tuple[Fault, ...] = ()
    """Faults in force from the start; `POST /simulator/faults` changes them later."""

    max_jobs: int = 20_000
    """Jobs remembered; the oldest is forgotten first."""

    max_payload_bytes: int = 256 * MIB
    """Bytes of create bodies remembered with the jobs; the oldest job is forgotten first."""

    max_object_bytes: int = 256 * MIB
    """Bytes of uploaded files kept; the oldest file is dropped first."""

    max_body_bytes: int = 64 * MIB
    """The largest request body taken; a larger one is 413."""

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError("speed must be greater than 0")
        if not self.keys or not self.organizations:
            raise ValueError("a simulator needs at least one key and one organization")
