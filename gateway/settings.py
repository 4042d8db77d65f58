"""Every setting: flag, else environment, else default. The table below is also the reference documentation."""

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gateway.core.nodes import nearest
from gateway.core.quantities import parse_duration, parse_size

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_WORKERS = 64
"""Far more processes than one ledger keeps busy; a slip of the hand is refused before it forks without end."""


class SettingsError(Exception):
    """The settings cannot be used; the text says which and what to write instead, one line per problem."""


def parse_switch(text: str) -> bool:
    """`on` or `off`, also `1/0`, `true/false`, `yes/no`."""
    if text.lower() in ("1", "on", "true", "yes"):
        return True
    if text.lower() in ("", "0", "off", "false", "no"):
        return False
    raise ValueError(f"must be `on` or `off`, not {text!r}")


def parse_port(text: str) -> int:
    """A TCP port; 0 lets the system pick one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ValueError(f"must be a port from 0 to 65535, not {text!r}")
    return int(text)


def parse_count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def parse_workers(text: str) -> int:
    """A number of processes."""
    if parse_count(text) > MOST_WORKERS:
        raise ValueError(f"must be at most {MOST_WORKERS}, not {text!r}; one worker uses one core")
    return int(text)


def parse_origin(text: str) -> str:
    """Scheme and host, no path: `https://console.gmicloud.ai`. What may hold a password is not quoted."""
    if not re.fullmatch(r"https?://([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?", text):
        instead = "without a user or a password" if "@" in text else f"not {text!r}"
        raise ValueError(f"must be a scheme and host such as `https://console.gmicloud.ai`, {instead}")
    urlsplit(text).port  # noqa: B018 - raises ValueError for one there cannot be
    return text.rstrip("/")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated CIDRs."""
    return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def parse_ledger(text: str) -> str:
    """A ledger's URL. The text is never quoted: it may hold a password."""
    if not text.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must be `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`")
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """A parser that takes exactly one of these words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {text!r}")
        return text.lower()

    return parse


def _setting(
    default: Any,
    meaning: str,
    parse: Callable[[str], Any] = str,
    *,
    flag: bool = False,
    secret: bool = False,
    above_zero: bool = False,
) -> Any:
    facts = {"meaning": meaning, "parse": parse, "flag": flag, "secret": secret, "above_zero": above_zero}
    return field(default=default, repr=not secret, metadata=facts)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. Sizes are bytes, durations are seconds; secrets never appear in its repr."""

    upstream_url: str = _setting(
        "https://console.gmicloud.ai", "Scheme and host of GMI's API.", parse_origin, flag=True
    )
    simulate: bool = _setting(
        default=False,
        meaning="Start the simulator on a loopback port and use it as upstream: no key needed.",
        parse=parse_switch,
        flag=True,
    )
    host: str = _setting("127.0.0.1", "Address of the public listener.", flag=True)
    port: int = _setting(8080, "Port of the public listener; 0 picks one.", parse_port, flag=True)
    admin_host: str = _setting("127.0.0.1", "Address of the admin listener.", flag=True)
    admin_port: int = _setting(9090, "Port of the admin listener; 0 picks one.", parse_port, flag=True)
    admin_token: str = _setting(
        "", "Bearer token of the admin pages and API; without it they answer loopback only.", secret=True
    )
    admin_token_file: str = _setting("", "File that holds the admin token.")
    policies: str = _setting("policies", "Folder of policy files (every `*.yaml` below it), or one file.", flag=True)
    ledger: str = _setting(
        "sqlite:///gateway.db",
        "Where the ledger lives: `sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST/DATABASE` for several replicas.",
        parse_ledger,
        flag=True,
        secret=True,
    )
    workers: int = _setting(
        1,
        "Processes on this machine that share the listeners, the ledger, the limits and the metrics.",
        parse_workers,
        flag=True,
    )
    public_url: str = _setting(
        "", "This gateway as clients see it, for the links it writes; teams that relay need it.", parse_origin
    )
    log_format: str = _setting(
        "auto", "`json`, `text`, or `auto`: json unless a terminal.", one_of("auto", "json", "text")
    )
    log_level: str = _setting(
        "info", "`debug`, `info`, `warning` or `error`.", one_of("debug", "info", "warning", "error")
    )
    access_log: bool = _setting(default=True, meaning="One line per request on stdout.", parse=parse_switch)
    max_body: int = _setting(32 * 1024**2, "Largest request body.", parse_size, above_zero=True)
    upstream_timeout: float = _setting(
        30.0, "Total time upstream has for any call but a create.", parse_duration, above_zero=True
    )
    create_timeout: float = _setting(300.0, "Total time upstream has for a create.", parse_duration, above_zero=True)
    max_in_flight: int = _setting(
        2000,
        "Calls worked on at once before the gateway sheds load; one team gets a third, or 50 if that is more.",
        parse_count,
    )
    drain_delay: float = _setting(5.0, "After SIGTERM, how long it goes on accepting while not ready.", parse_duration)
    drain_timeout: float = _setting(320.0, "Then, how long calls in flight may take to end.", parse_duration)
    trusted_proxies: tuple[Network, ...] = _setting(
        (), "CIDRs whose `X-Forwarded-For` is believed (right-most untrusted hop).", parse_networks
    )
    tls_cert: str = _setting("", "PEM certificate chain of the public listener.", flag=True)
    tls_key: str = _setting("", "PEM private key of the public listener.", flag=True)


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"GATEWAY_{name.upper()}"


def flag_of(name: str) -> str:
    """The command-line flag of a setting that has one."""
    return "--upstream" if name == "upstream_url" else f"--{name.replace('_', '-')}"


def read_settings(environment: Mapping[str, str], flags: Mapping[str, str | None]) -> Settings:
    """Settings from flags (by field name; None is absent) and environment.

    Raises SettingsError naming every value that cannot be read, and every `GATEWAY_*` variable nobody knows: a
    misspelled limit that is silently ignored is worse than a gateway that does not start.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    known = {variable_of(name) for name in fields}
    problems = [
        f"{variable}: no such setting; {_nearest(variable, known)}"
        for variable in sorted(environment)
        if variable.startswith("GATEWAY_") and variable not in known
    ]
    values: dict[str, Any] = {}
    for name, facts in fields.items():
        flag, variable = flags.get(name), variable_of(name)
        text = flag if flag is not None else environment.get(variable)
        if text is None or (text == "" and flag is None):
            continue
        origin = flag_of(name) if flag is not None else variable
        try:
            values[name] = _read(facts.metadata, text)
        except ValueError as error:
            problems.append(f"{origin}: {error}")
    problems += _contradictions(values)
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**values)


def _read(facts: Mapping[str, Any], text: str) -> Any:
    value = facts["parse"](text)
    if facts["above_zero"] and value <= 0:
        raise ValueError(f"must be more than 0, not {text!r}")
    return value


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = []
    if bool(values.get("tls_cert")) != bool(values.get("tls_key")):
        problems.append("GATEWAY_TLS_CERT and GATEWAY_TLS_KEY: set both or neither")
    if values.get("admin_token") and values.get("admin_token_file"):
        problems.append("GATEWAY_ADMIN_TOKEN and GATEWAY_ADMIN_TOKEN_FILE: set one of them")
    return problems


def _nearest(variable: str, known: AbstractSet[str]) -> str:
    """What may have been meant. All begin alike, so only the rest is compared."""
    prefix = variable_of("")
    names = {each.removeprefix(prefix): each for each in known}
    near = nearest(variable.removeprefix(prefix), names)
    return f"did you mean {names[near]}?" if near else "see `gmi-gateway serve --help`"
