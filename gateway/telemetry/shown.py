"""Gauges that are looked up as a whole: what was found last, which Prometheus reads when it asks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

L = TypeVar("L", bound=tuple[str, ...])


class Shown(Collector):
    """One gauge and all of its values.

    The client library keeps an object with a lock for every series: of a thousand teams' limits that is 8 000, each set
    by itself, at every scrape. Here one mapping takes the place of another.
    """

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self._values: Sequence[tuple[tuple[str, ...], float]] = ()

    def show(self, values: Mapping[L, float]) -> None:
        """These are the values from now on, each by its labels' own: there are no others."""
        self._values = tuple(values.items())

    def collect(self) -> Iterable[Metric]:
        """The family as it stands. It may run in a thread: what is shown is never changed."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        family.samples = [
            Sample(self._name, dict(zip(self._labels, labels, strict=True)), value) for labels, value in self._values
        ]
        return (family,)
