import pytest
from sqlalchemy import create_engine, inspect

from tests.ledger.migrations.schemas import prepare_as, upgrade


@pytest.fixture
def earlier(empty: str) -> str:
    """The URL of a ledger of 0005."""
    engine = create_engine(empty)
    upgrade(engine, "0005")
    assert "jobs_ended" not in {index["name"] for index in inspect(engine).get_indexes("jobs")}
    engine.dispose()
    return empty


def test_the_gateway_before_goes_on_beside_it(earlier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(earlier)
    upgrade(engine, "0006")
    engine.dispose()
    prepare_as("0005", earlier, monkeypatch)
