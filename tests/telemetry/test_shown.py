"""Gauges that are looked up as a whole."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.telemetry.shown import Shown


def test_a_shown_gauge_has_no_series_but_those_shown() -> None:
    registry, gauge = CollectorRegistry(), Shown("used", "What is used.", "team", "limit")
    registry.register(gauge)
    assert generate_latest(registry) == b"# HELP used What is used.\n# TYPE used gauge\n"
    gauge.show({("films", "jobs-day"): 1, ("films", "usd-month"): 0.4})
    gauge.show({("films", "jobs-day"): 2.5, ('st"udio', "a\nb"): 0})
    assert generate_latest(registry).decode().splitlines()[2:] == [
        'used{limit="jobs-day",team="films"} 2.5',
        'used{limit="a\\nb",team="st\\"udio"} 0.0',
    ]


def test_what_is_shown_is_not_what_becomes_of_the_mapping_afterwards() -> None:
    gauge, values = Shown("used", "What is used.", "team"), {("films",): 1.0}
    gauge.show(values)
    values["studio",] = 2.0
    (family,) = gauge.collect()
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"team": "films"}, 1.0)]


def test_labels_that_are_too_few_are_a_mistake() -> None:
    gauge = Shown("used", "What is used.", "team", "limit")
    gauge.show({("films",): 1})
    with pytest.raises(ValueError, match="shorter"):
        gauge.collect()
