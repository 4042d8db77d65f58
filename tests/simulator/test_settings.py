import pytest

from gateway.simulator import Settings


def test_the_defaults_are_a_loopback_simulator_on_a_free_port() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.keys) == ("127.0.0.1", 0, ("simulated-gmi-key",))


def test_keys_stay_out_of_the_repr() -> None:
    assert "a-key" not in repr(Settings(keys=("a-key",)))


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_speed_must_be_positive(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be greater than 0"):
        Settings(speed=speed)


def test_a_key_and_an_organization_are_needed() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        Settings(keys=())
    with pytest.raises(ValueError, match="at least one key"):
        Settings(organizations=())
