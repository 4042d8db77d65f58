"""What is measured and what it talks to: nginx as a dumb upstream, nginx as a bare proxy, and the gateway."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

UPSTREAM_PORT = 18901
NGINX_PORT = 18902
GATEWAY_PORT = 18903
ADMIN_PORT = 18904
Q = "/api/v1/ie/requestqueue/apikey"
KEY = "bench-key"
CPU_UNDER_TEST = 0
CPU_OF_LOAD = 1

_MODELS = ",".join(f'"model-{number}"' for number in range(324))
_TICKS = os.sysconf("SC_CLK_TCK")

_REST_OF_RECORD = (
    '"org_id":"o","user_id":"u","is_public":false,"payload":{"prompt":"a lighthouse at dawn"},'
    '"outcome":null,"created_at":1,"updated_at":1,"queued_at":1'
)

_NGINX = """
daemon off; worker_processes 1; error_log /dev/null crit; pid {folder}/{name}.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 8m; client_max_body_size 64m;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {body}
}}
"""
_UPSTREAM = """
  map $request_id $uuid {{
    "~^(?<a>.{{8}})(?<b>.{{4}})(?<c>.{{4}})(?<d>.{{4}})(?<e>.{{12}})$" "$a-$b-$c-$d-$e";
  }}
  server {{
    listen 127.0.0.1:{port} backlog=2048; default_type application/json;
    location = {q}/models {{ return 200 '{{"model_ids":[{models}]}}'; }}
    location ~ ^{q}/models/(?<model>.+)$ {{
      return 200 '{{"model":"$model","parameters":[],"price_info":{{"price":3000,"unit":"request"}}}}';
    }}
    location = {q}/requests {{
      return 200 '{{"request_id":"$uuid","model":"model-1","status":"queued","created_at":1,"updated_at":1}}';
    }}
    location ~ ^{q}/requests/(?<job>[0-9a-f-]+)$ {{
      return 200 '{{"request_id":"$job","model":"model-1","status":"processing",{rest}}}';
    }}
  }}
"""
_PROXY = """
  upstream gmi {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{ proxy_pass http://gmi; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
"""
_POLICY = """
team: bench
keys: [{{name: main, hash: "sha256:{digest}"}}]
models: {{allow: ["model-*"]}}
limits:
  - 600000000 requests per minute
  - 100000000 jobs per day
  - 100000000 jobs at once
  - 900000000 USD per month
"""


@dataclass(frozen=True)
class Server:
    """A running server: its base URL and the process whose tree is accounted."""

    name: str
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its descendants so far."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.pid))

    def resident_bytes(self) -> int:
        """Resident memory of the process tree."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in _tree(self.pid))
        return pages * os.sysconf("SC_PAGE_SIZE")


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def upstream(folder: Path) -> Iterator[Server]:
    """The dumb upstream: constant answers in GMI's shape, on the core of the load."""
    body = _UPSTREAM.format(port=UPSTREAM_PORT, q=Q, models=_MODELS, rest=_REST_OF_RECORD)
    with _nginx(folder, "upstream", body, UPSTREAM_PORT, CPU_OF_LOAD) as server:
        yield server


@contextmanager
def nginx(folder: Path) -> Iterator[Server]:
    """nginx doing a bare proxy_pass: what merely forwarding costs."""
    body = _PROXY.format(port=NGINX_PORT, upstream=UPSTREAM_PORT)
    with _nginx(folder, "nginx", body, NGINX_PORT, CPU_UNDER_TEST) as server:
        yield server


@contextmanager
def _nginx(folder: Path, name: str, body: str, port: int, cpu: int) -> Iterator[Server]:
    config = folder / f"{name}.conf"
    config.write_text(_NGINX.format(folder=folder, name=name, body=body))
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(folder), "-c", str(config)]
    with _process(name, command, f"http://127.0.0.1:{port}", cpu, folder) as server:
        yield server


@contextmanager
def gateway(folder: Path) -> Iterator[Server]:
    """The gateway with everything on: limits, ownership, metrics, a durable ledger, the access log to a file."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / "bench.yaml").write_text(_POLICY.format(digest=hashlib.sha256(KEY.encode()).hexdigest()))
    settings = {
        "GMI_API_KEY": "bench-upstream-key",
        "GATEWAY_UPSTREAM_URL": f"http://127.0.0.1:{UPSTREAM_PORT}",
        "GATEWAY_PORT": str(GATEWAY_PORT),
        "GATEWAY_ADMIN_PORT": str(ADMIN_PORT),
        "GATEWAY_POLICIES": str(policies),
        "GATEWAY_LEDGER": f"sqlite:///{folder / 'gateway.db'}",
    }
    command = [sys.executable, "-m", "gateway", "serve"]
    url = f"http://127.0.0.1:{GATEWAY_PORT}"
    with _process("gateway", command, url, CPU_UNDER_TEST, folder, settings) as server:
        yield server


@contextmanager
def _process(
    name: str, command: list[str], url: str, cpu: int, folder: Path, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    log = (folder / f"{name}.log").open("wb")
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *command],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)} | (settings or {}),
    )
    try:
        _wait_for(url, process)
        yield Server(name, url, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    request = urllib.request.Request(f"{url}{Q}/models", headers={"Authorization": f"Bearer {KEY}"})
    while True:
        try:
            urllib.request.urlopen(request, timeout=1).close()
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return
