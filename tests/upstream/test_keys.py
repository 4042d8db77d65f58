"""A credential is known by upstream's last word on its keys."""

from gateway.telemetry import Metrics
from gateway.upstream.credentials import Secret
from gateway.upstream.keys import Keys

ONE, OTHER = Secret("the-one"), Secret("the-other")


def shown(metrics: Metrics) -> dict[str, float]:
    """What the metric tells, by credential."""
    found = metrics.registry.collect()
    samples = [each for family in found if family.name == "gateway_upstream_key_refused" for each in family.samples]
    return {sample.labels["credential"]: sample.value for sample in samples}


def test_up9_the_key_that_was_taken_last_is_tried_first() -> None:
    keys = Keys(Metrics("test"))
    assert list(keys.in_order("default", (ONE, OTHER))) == [ONE, OTHER]
    keys.take("default", OTHER)
    assert list(keys.in_order("default", (ONE, OTHER))) == [OTHER, ONE]
    assert list(keys.in_order("studio", (ONE, OTHER))) == [ONE, OTHER]
    assert list(keys.in_order("default", (ONE,))) == [ONE]


def test_a_credential_is_refused_until_a_key_of_it_is_taken() -> None:
    metrics = Metrics("test")
    keys = Keys(metrics)
    assert (keys.any_refused, keys.refused, shown(metrics)) == (False, (), {})
    keys.refuse("default")
    keys.refuse("studio")
    keys.take("default", ONE)
    assert (keys.any_refused, keys.refused, shown(metrics)) == (True, ("studio",), {"studio": 1})
    keys.take("studio", ONE)
    assert (keys.any_refused, shown(metrics)) == (False, {})


def test_what_is_known_of_credentials_that_are_gone_is_forgotten() -> None:
    metrics = Metrics("test")
    keys = Keys(metrics)
    keys.take("gone", OTHER)
    for credential in ("default", "gone"):
        keys.refuse(credential)
    keys.keep({"default"})
    assert shown(metrics) == {"default": 1}
    assert list(keys.in_order("gone", (ONE, OTHER))) == [ONE, OTHER]
