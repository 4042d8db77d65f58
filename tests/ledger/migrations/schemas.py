"""Databases as earlier gateways left them, and an earlier gateway that meets a later one's."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

import gateway.ledger.migrations
from gateway.ledger import migrate
from gateway.ledger.engine import backend_of, ledger_url


def upgrade(engine: Engine, revision: str) -> None:
    """Bring a database up to this schema, whatever the code's own is."""
    config = Config()
    config.set_main_option("script_location", next(iter(gateway.ledger.migrations.__path__)))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def prepare_as(revision: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start on it as a gateway does whose newest schema is this one."""
    known = migrate.KNOWN.index(revision) + 1
    monkeypatch.setattr(migrate, "SUCCESSOR", migrate.KNOWN[known])
    monkeypatch.setattr(migrate, "KNOWN", migrate.KNOWN[:known])
    monkeypatch.setattr(migrate, "HEAD", revision)
    backend_of(ledger_url(url)).prepare(ledger_url(url))
