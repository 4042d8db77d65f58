"""When each key last called."""

from gateway.telemetry import KeyUses


def test_the_last_call_of_a_key_is_remembered() -> None:
    uses = KeyUses()
    uses.note("a", "web", 1.0)
    uses.note("a", "web", 3.0)
    uses.note("b", "web", 2.0)
    assert uses.latest([]) == {("a", "web"): 3.0, ("b", "web"): 2.0}


def test_what_other_workers_saw_counts_too() -> None:
    uses, other, third = KeyUses(), KeyUses(), KeyUses()
    uses.note("a", "web", 5.0)
    other.note("a", "web", 9.0)
    other.note("a", "batch", 1.0)
    third.note("a", "web", 7.0)
    assert uses.latest([other.dump(), third.dump()]) == {("a", "web"): 9.0, ("a", "batch"): 1.0}
