"""How creates wait for a model: `{models: ["seedance-*"], fair: true}`."""

from collections.abc import Iterable

from gateway.core.nodes import Node, Report
from gateway.core.parse_fields import read_fields
from gateway.core.policy import Queueing

QUEUEING_FIELDS = ("models", "fair")


def read_queueing(items: Iterable[Node], report: Report) -> tuple[Queueing, ...]:
    """The entries, in their order: the first match counts."""
    entries: list[Queueing] = []
    for item in items:
        fields = read_fields(item, QUEUEING_FIELDS, "an entry of `queueing`", report)
        if fields is None or not fields.require("models", "fair"):
            continue
        entry = Queueing(fields.globs("models"), fields.flag("fair", default=False))
        if any("*" in earlier.models or set(entry.models) <= set(earlier.models) for earlier in entries):
            report.warn(item.mark, "never-used", "an earlier entry takes every model of this one: put this one first")
        entries.append(entry)
    return tuple(entries)
