from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.ledger import Ledger
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, file: Path) -> str:
    """Where an empty ledger is or may be made: every test that asks for it runs on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{file}"
    server: Server = request.getfixturevalue("postgres")
    return server.ledger()


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(url)
    await ledger.open()
    yield ledger
    await ledger.close()
