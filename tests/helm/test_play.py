"""What the chart renders, run for real: podman plays the Deployment and the ConfigMap of an example."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.containers import is_ready, make_film, run, wait_until
from tests.helm.rendered import find, render, values_of

pytestmark = pytest.mark.timeout(900)

KEY = "test"
"""The one whose hash stands in the example."""


@pytest.fixture
def played(image: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URLs of a gateway as `examples/try-out.yaml` makes it: public, admin."""
    repository, _, tag = image.rpartition(":")
    values = values_of("try-out") | {"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}}
    manifests = render(values, "played")
    workload = find(manifests, "Deployment")
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    held = [socket.create_server(("127.0.0.1", 0)) for _ in container["ports"]]
    for port, sock in zip(container["ports"], held, strict=True):
        port |= {"hostIP": "127.0.0.1", "hostPort": sock.getsockname()[1]}  # in a cluster a Service leads here
        sock.close()
    file = tmp_path / "played.yaml"
    file.write_text(yaml.safe_dump_all([find(manifests, "ConfigMap"), workload]))
    run("podman", "play", "kube", str(file))
    try:
        public, admin = (f"http://127.0.0.1:{port['hostPort']}" for port in container["ports"])
        wait_until(lambda: is_ready(admin))
        yield public, admin
    finally:
        run("podman", "play", "kube", "--down", str(file))
        run("podman", "volume", "rm", "--force", "played-gmi-gateway-policies")


def test_the_rendered_deployment_serves_a_job_under_the_rendered_policies(played: tuple[str, str]) -> None:
    public, _ = played
    make_film(public, KEY)
    (name,) = run("podman", "ps", "--quiet", "--filter", "name=^played-gmi-gateway-pod.*-gateway$").splitlines()
    assert run("podman", "inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}", name) == (
        "true 10001:10001"
    )
    run("podman", "pod", "stop", "--time", "30", run("podman", "inspect", "--format", "{{.Pod}}", name), seconds=60)
    assert run("podman", "inspect", "--format", "{{.State.ExitCode}}", name) == "0"
