"""The tables and the diagram of the documentation that say what the code says, made from the code."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from gateway.cli.ledger_export import COLUMNS
from gateway.cli.options import SETTINGS, default_text
from gateway.cli.parser import COMMANDS, PROGRAM
from gateway.cli.serve import CREDENTIALS
from gateway.core.errors import FACTS
from gateway.core.lifecycle import TRANSITIONS, State
from gateway.settings import flag_of, variable_of
from gateway.telemetry import Metrics
from gateway.telemetry.calls import CacheRequests, Calls, UpstreamCalls
from gateway.telemetry.shown import Shown


def _table(*header: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    rule = "|".join(["", *["---"] * len(header), ""])
    return [_row(header), rule, *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{text}`"


def settings() -> list[str]:
    """Every setting: variable, flag if it has one, default, meaning."""
    rows = []
    for name, field in SETTINGS.items():
        names = [_code(variable_of(name))] + ([_code(flag_of(name))] if field.metadata["flag"] else [])
        default = default_text(name)
        rows.append((" ".join(names), "none" if default == "none" else _code(default), field.metadata["meaning"]))
    return _table("Setting", "Default", "Meaning", rows=rows)


def credentials() -> list[str]:
    """The variables of GMI's own reference."""
    return _table("Variable", "Meaning", rows=((_code(name), meaning) for name, meaning in CREDENTIALS))


def commands() -> list[str]:
    """Every command."""
    rows = ((_code(f"{PROGRAM} {name}"), f"{text[0].upper()}{text[1:]}.") for name, text in COMMANDS.items())
    return _table("Command", "Does", rows=rows)


def columns() -> list[str]:
    """Every column of the chargeback."""
    return _table("Column", "Meaning", rows=((_code(name), meaning) for name, meaning in COLUMNS.items()))


def metrics() -> list[str]:
    """Every metric as Prometheus sees it: name, labels, meaning."""
    found = []
    for collector in Metrics("0").registry._collector_to_names:
        if isinstance(collector, CacheRequests | Calls | Shown | UpstreamCalls):
            for family in collector.collect():
                assert isinstance(family, CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily)
                name = f"{family.name}_total" if family.type == "counter" else family.name
                found.append((_code(name), ", ".join(map(_code, family._labelnames)), family.documentation))
            continue
        assert isinstance(collector, Counter | Gauge | Histogram)
        name = f"{collector._name}_total" if isinstance(collector, Counter) else collector._name
        labels = ", ".join(map(_code, collector._labelnames)) or "none"
        found.append((_code(name), labels, collector._documentation))
    return _table("Metric", "Labels", "Meaning", rows=found)


def codes() -> list[str]:
    """Every error code with its status."""
    rows = ((str(facts.status), _code(code), facts.meaning) for code, facts in FACTS.items())
    return _table("Status", "Code", "Meaning", rows=rows)


def diagram() -> str:
    """The states of a reservation and the ways between them, as Mermaid draws them."""
    ways = [f"{state} --> {after}" for state in TRANSITIONS for after in State if after in TRANSITIONS[state]]
    ends = [f"{state} --> [*]" for state, following in TRANSITIONS.items() if not following]
    lines = ["stateDiagram-v2", f"[*] --> {State.RESERVED}", *ways, *ends]
    return "\n    ".join(lines) + "\n"
