"""What several workers counted, as if one had."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Sample = tuple[str, tuple[tuple[str, str], ...], float]
"""Name, labels and value of one series."""

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name and labels of one."""

Dump = dict[str, list[Sample]]
"""By family."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Dump).decode


def dump(registry: CollectorRegistry) -> bytes:
    """Every series as it stands, for another worker's `Together`."""
    return _encode({family.name: list(_samples(family)) for family in registry.collect()})


def merge(dumps: Sequence[bytes]) -> bytes:
    """The counts of several that are gone, as the dump of one. Of gauges it means nothing, and nobody reads them."""
    whole: dict[str, dict[Series, float]] = {}
    for dump in map(_decode, dumps):
        for family in dump:
            _combine(whole.setdefault(family, {}), family, [dump], lambda one, other: one + other)
    return _encode({family: [(*series, value) for series, value in values.items()] for family, values in whole.items()})


_OVER_WORKERS: Mapping[str, Callable[[float, float], float]] = {
    "gateway_requests_in_flight": lambda one, other: one + other,
    "gateway_requests_waiting": lambda one, other: one + other,
    "gateway_upstream_circuit_state": max,
    "gateway_upstream_key_refused": max,
    "gateway_policy_last_reload_successful": min,
    "gateway_policy_last_reload_timestamp_seconds": max,
    "gateway_policy_info": max,
    "gateway_ledger_up": min,
}
"""How the gauges that each worker has of its own are put together. The others all workers read from the ledger."""


class Together(Collector):
    """The series of several workers as one: counts are added up, gauges as `_OVER_WORKERS` says.

    `present` and `gone` are the dumps of others, of which those that are gone have counted, but have no state any more.
    """

    def __init__(self, own: CollectorRegistry, present: Sequence[bytes], gone: Sequence[bytes]) -> None:
        self._own = own
        self._present = list(map(_decode, present))
        self._gone = list(map(_decode, gone))

    def collect(self) -> Iterable[Metric]:
        """One family after the other."""
        for family in self._own.collect():
            values = {(name, labels): value for name, labels, value in _samples(family)}
            if family.type != "gauge":
                _combine(values, family.name, (*self._present, *self._gone), lambda one, other: one + other)
            elif family.name in _OVER_WORKERS:
                _combine(values, family.name, self._present, _OVER_WORKERS[family.name])
            whole = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in values.items():
                whole.add_sample(name, dict(labels), value)
            yield whole


def _samples(family: Metric) -> Iterator[Sample]:
    return ((sample.name, tuple(sample.labels.items()), sample.value) for sample in family.samples)


def _combine(
    values: dict[Series, float],
    family: str,
    dumps: Iterable[Dump],
    how: Callable[[float, float], float],
) -> None:
    for dump in dumps:
        for name, labels, value in dump.get(family, ()):
            known = values.get((name, labels))
            values[name, labels] = value if known is None else how(known, value)
