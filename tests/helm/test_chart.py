"""The chart as Helm renders it: valid for every Kubernetes it is for, locked down, and refusing what cannot be."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from gateway import __version__
from gateway.settings import Settings, read_settings, variable_of
from tests.helm.rendered import EXAMPLES, HELM, Manifest, find, notes, pods, render, values_of
from tests.programs import beside_python, require_library

OPERATORS = {"ServiceMonitor", "PrometheusRule", "HTTPRoute"}
"""Kinds that are not Kubernetes' own, of which its schemas say nothing."""

PLAIN = {"existingSecret": "gmi", "existingPoliciesConfigMap": "policies"}
SHARED = PLAIN | {"ledger": {"type": "postgresql"}}


def versions() -> list[str]:
    """From the oldest Kubernetes the chart is for to the newest that is known."""
    known = require_library("kubernetes_validate").utils.all_versions()
    return [version for version in dict.fromkeys(known) if int(version.split(".")[1]) >= 28]


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_finds_nothing_to_complain_of(name: str) -> None:
    linted = require_library("helm_python").chart.lint(str(HELM), values_of(name))
    assert linted["errors"] == []
    assert [message["error"] for message in linted["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_kubernetes_it_is_for_takes_every_manifest(name: str) -> None:
    validate = require_library("kubernetes_validate").validate
    checked = [each for each in render(values_of(name)) if each["kind"] not in OPERATORS]
    assert len(versions()) >= 9
    for version in versions():
        for manifest in checked:
            validate(manifest, version, strict=True)


def test_the_manifests_are_yaml_as_people_write_it() -> None:
    files = [*HELM.glob("*.yaml"), *HELM.glob(".*.yaml"), HELM / "examples"]
    command = [beside_python("yamllint"), "--strict", "-c", str(HELM / ".yamllint.yaml"), *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicaCount": 2}, "replicaCount is 2, but a SQLite ledger has room for one gateway: set ledger.type to"),
        ({"autoscaling": {"enabled": True}}, "autoscaling.enabled needs a ledger that several gateways share"),
        ({"ledger": {"url": "postgresql://h/d"}}, "ledger.url is for PostgreSQL: set ledger.type to postgresql"),
        ({"ledger": {"type": "postgresql"}}, "set ledger.url, or existingSecret to a Secret with the key ledger-url"),
        (SHARED | {"simulate": True, "replicaCount": 2}, "simulate gives each gateway a simulator of its own"),
        ({"existingSecret": "s", "secret": {"create": True}}, "existingSecret and secret.create: set one of them"),
        ({"secret": {"create": True}}, "secret.create needs secret.apiKey, the real GMI API key"),
        (
            {"policies": {"a.yaml": "a"}, "existingPoliciesConfigMap": "p"},
            "policies and existingPoliciesConfigMap: set",
        ),
        ({"ingress": {"enabled": True}}, "ingress.enabled needs ingress.host, the name clients use"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.enabled needs httpRoute.parentRefs, the Gateways that serve it"),
        ({"settings": {"GATEWAY_DRAIN_DELAY": "soon"}}, 'such as `320 s`, not "soon"'),
        (SHARED | {"autoscaling": {"enabled": True, "minReplicas": 9}}, "autoscaling.minReplicas is more than"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(values: dict[str, Any], said: str) -> None:
    with pytest.raises(require_library("helm_python").errors.HelmRenderError, match=re.escape(said)):
        render(values)


def test_a_sqlite_ledger_lies_on_a_volume_of_its_own() -> None:
    workload = find(render(values_of("sqlite")), "StatefulSet")
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert claim["spec"]["storageClassName"] == "local-ssd"
    mounts = {mount["name"]: mount["mountPath"] for mount in container_of(workload)["volumeMounts"]}
    assert mounts["ledger"] == "/var/lib/gmi-gateway"
    assert workload["spec"]["replicas"] == 1


def test_without_a_volume_it_is_a_deployment_that_never_has_two_gateways() -> None:
    workload = find(render(values_of("try-out")), "Deployment")
    assert workload["spec"]["strategy"] == {"type": "Recreate"}


def test_several_share_postgresql_and_are_replaced_one_by_one() -> None:
    manifests = render(SHARED | {"replicaCount": 3})
    workload = find(manifests, "Deployment")
    assert workload["spec"]["replicas"] == 3
    assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (ledger,) = (each for each in container_of(workload)["env"] if each["name"] == "GATEWAY_LEDGER")
    assert ledger["valueFrom"]["secretKeyRef"] == {"name": "gmi", "key": "ledger-url"}
    migration = find(manifests, "Job")
    assert migration["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert migration["spec"]["template"]["spec"]["containers"][0]["args"] == ["ledger", "migrate"]


def test_what_is_given_as_values_becomes_secrets_and_changes_the_pods_when_it_changes() -> None:
    values = values_of("secret-values")
    manifests = render(values)
    assert find(manifests, "Secret", "gateway")["stringData"] == {
        "api-key": "the-real-key",
        "org-id": "63729242-0000-4000-8000-000000000000",
        "admin-token": "a-long-random-token",
    }
    assert find(manifests, "Secret", "ledger")["stringData"] == {"ledger-url": values["ledger"]["url"]}
    assert find(manifests, "Job")["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    before = find(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    values["secret"]["apiKey"] = values["ledger"]["url"] = "postgresql://another"
    after = find(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert {name for name in before if before[name] != after[name]} == {"checksum/secret", "checksum/ledger"}
    (secret,) = (each for each in pods(manifests)[-2]["volumes"] if each["name"] == "secret")
    assert secret["secret"]["secretName"] == "gw-gmi-gateway"
    assert "the-real-key" not in yaml.safe_dump([each for each in manifests if each["kind"] != "Secret"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_pod_keeps_the_restricted_standard_and_knows_nothing_of_the_cluster(name: str) -> None:
    for spec in pods(render(values_of(name))):
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 5 + Settings().drain_delay + Settings().drain_timeout + 5),
        ({"GATEWAY_DRAIN_DELAY": "1 min", "GATEWAY_DRAIN_TIMEOUT": 1200}, 5 + 60 + 1200 + 5),
        ({"GATEWAY_DRAIN_TIMEOUT": "2h"}, 5 + 5 + 7200 + 5),
        ({"GATEWAY_DRAIN_DELAY": 0, "GATEWAY_DRAIN_TIMEOUT": "0s"}, 5 + 0 + 0 + 5),
    ],
)
def test_a_pod_has_as_long_to_end_as_its_drain_may_take(settings: dict[str, Any], seconds: float) -> None:
    workload = find(render(PLAIN | {"settings": settings}), "StatefulSet")
    assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("max_body", 33554432, "33554432"),
        ("upstream_timeout", 2.5, "2.5"),
        ("access_log", False, "false"),
        ("drain_timeout", "5 min", "5 min"),
        ("workers", 2, "2"),
    ],
)
def test_a_setting_reaches_the_gateway_as_it_reads_it(setting: str, value: object, text: str) -> None:
    variable = variable_of(setting)
    container = container_of(find(render(PLAIN | {"settings": {variable: value}}), "StatefulSet"))
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert given[variable] == text
    read_settings({variable: text}, {})


def test_the_probes_ask_the_admin_port() -> None:
    container = container_of(find(render(PLAIN), "StatefulSet"))
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "admin"},
        "liveness": {"path": "/healthz", "port": "admin"},
        "readiness": {"path": "/readyz", "port": "admin"},
    }


def test_the_network_lets_out_to_names_upstream_and_the_database_alone() -> None:
    values = values_of("secret-values") | {"upstream": {"url": "https://gmi.example.com:8443"}}
    policy = find(render(values), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in policy["egress"]] == [[53, 53], [8443], [6432]]
    assert all(rule["from"] for rule in policy["ingress"])
    inside = find(render({"simulate": True, "networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
    assert [[port["port"] for port in rule["ports"]] for rule in inside["egress"]] == [[53, 53]]


def test_several_are_spread_unless_told_otherwise() -> None:
    told = render(values_of("postgresql"))
    (constraint,) = find(told, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert constraint["whenUnsatisfiable"] == "DoNotSchedule"
    untold = find(render(SHARED), "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in untold] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_selectors_find_the_gateway_and_nothing_else_of_the_release() -> None:
    manifests = render(values_of("postgresql"))
    labels = find(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    others = [each for each in manifests if each["kind"] in ("Job", "Pod")]
    for service in (each for each in manifests if each["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        assert selector <= labels.items()
        assert not any(selector <= other["metadata"]["labels"].items() for other in others)
    monitor = find(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    found = [each for each in manifests if each["kind"] == "Service" and monitor <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in found] == ["gw-gmi-gateway-admin"]


def test_what_watches_is_installed_as_it_lies_in_the_chart() -> None:
    manifests = render(values_of("postgresql"))
    assert find(manifests, "PrometheusRule")["spec"] == yaml.safe_load((HELM / "alerts.yaml").read_text())
    dashboard = find(manifests, "ConfigMap", "dashboard")
    assert dashboard["data"]["gmi-gateway.json"].strip() == (HELM / "dashboard.json").read_text().strip()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_test_asks_the_release_and_makes_a_job() -> None:
    pod = find(render({"adminService": {"port": 9999}}), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (asks,) = pod["spec"]["initContainers"]
    assert asks["args"] == ["health", "--admin-host=gw-gmi-gateway-admin", "--admin-port=9999"]
    assert pod["spec"]["containers"][0]["args"] == ["demo", "--once"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "It has no key for GMI yet"),
        ({"existingSecret": "s"}, "No team can use it yet"),
        (values_of("try-out"), "It stands in front of a simulator"),
        (values_of("try-out"), "Its ledger is lost with the pod"),
        (values_of("sqlite"), "the base URL https://gmi.example.com/api/v1/ie/requestqueue/apikey"),
    ],
)
def test_the_notes_tell_the_next_step(values: dict[str, Any], said: str) -> None:
    assert said in notes(values)


def test_names_fit_whatever_the_release_is_called() -> None:
    for release in ("gmi-gateway", "x" * 53):
        names = [each["metadata"]["name"] for each in render(SHARED | {"dashboard": {"enabled": True}}, release)]
        assert all(len(name) <= 63 for name in names)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((HELM / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def container_of(workload: Manifest) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container
