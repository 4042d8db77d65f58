from gateway.ledger.clock import LedgerClock


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_is_this_machines_clock_until_the_database_says_otherwise() -> None:
    wall = Ticks()
    clock = LedgerClock(wall, Ticks())
    assert clock() == 100.0
    wall.now = 50.0
    assert clock() == 50.0


def test_tw4_a_machine_whose_clock_is_set_anew_goes_by_the_databases() -> None:
    wall, ticks = Ticks(), Ticks()
    clock = LedgerClock(wall, ticks)
    clock.set(1_800_000_000.5, asked=99.0, answered=100.0)
    assert clock() == 1_800_000_001.0
    wall.now -= 3600.0
    ticks.now += 10.0
    assert clock() == 1_800_000_011.0


def test_a_slow_answer_does_not_replace_a_better_one() -> None:
    ticks = Ticks()
    clock = LedgerClock(Ticks(), ticks)
    clock.set(1000.0, asked=100.0, answered=100.0)
    clock.set(1001.0, asked=100.0, answered=101.0)
    assert clock() == 1000.0
    clock.set(1000.5, asked=100.0, answered=100.125)
    assert clock() == 1000.4375
