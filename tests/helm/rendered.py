"""The chart as Helm itself renders it, without a cluster. `python -m tests.helm.rendered DIR` writes it for checkov."""

import sys
from pathlib import Path
from typing import Any

import yaml

from tests.programs import require_library

HELM = Path(__file__).parents[2] / "helm"
EXAMPLES = {"defaults": None, **{path.stem: path for path in sorted((HELM / "examples").glob("*.yaml"))}}
"""What is rendered: nothing but the defaults, and every example."""

Manifest = dict[str, Any]


def values_of(name: str) -> dict[str, Any]:
    """The values of an example."""
    path = EXAMPLES[name]
    return yaml.safe_load(path.read_text()) if path else {}


def render(values: dict[str, Any], release: str = "gw") -> list[Manifest]:
    """Every manifest. Raises what Helm raises: HelmValuesError by the schema, HelmRenderError by a template."""
    manifests: list[Manifest] = []
    for name, text in _templates(values, release).items():
        if name.endswith(".yaml"):
            manifests += [manifest for manifest in yaml.safe_load_all(text) if manifest]
    return manifests


def notes(values: dict[str, Any]) -> str:
    """What is said after an install."""
    return next(text for name, text in _templates(values, "gw").items() if name.endswith("NOTES.txt"))


def _templates(values: dict[str, Any], release: str) -> dict[str, str]:
    with require_library("helm_python").Chart.load(HELM) as chart:
        chart.validate_schema(values)
        templates: dict[str, str] = chart.render(values, name=release, namespace="ns")
    return templates


def find(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The only manifest of this kind, or the one whose name ends like this."""
    (found,) = (each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(name))
    return found


def pods(manifests: list[Manifest]) -> list[Manifest]:
    """The spec of every pod there will be."""
    specs = [each["spec"]["template"]["spec"] for each in manifests if "template" in each.get("spec", {})]
    return specs + [each["spec"] for each in manifests if each["kind"] == "Pod"]


def main(folder: Path) -> None:
    """Write what each example becomes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(render(values_of(name))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
