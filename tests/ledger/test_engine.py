import pytest

from gateway.ledger.engine import backend_of, ledger_url
from gateway.ledger.faults import LedgerUnavailable


@pytest.mark.parametrize(
    "text",
    [
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "gateway.db", ""),
        "sqlite:///q.db?mode=memory&uri=true",
        *("postgresql://", "postgresql://db", "mysql://db/gateway", "postgresql://u:canary@h:port/db"),
    ],
)
def test_a_url_that_names_no_ledger_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(LedgerUnavailable) as caught:
        ledger_url(text)
    assert str(caught.value) == (
        "the ledger must be given as sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    )


@pytest.mark.parametrize(
    ("text", "backend", "name"),
    [
        ("sqlite:////data/gateway.db", "sqlite", "/data/gateway.db"),
        ("postgresql://gateway:canary@db.internal:6432/ledger", "postgresql", "db.internal/ledger"),
        ("postgresql:///ledger?host=/run/postgresql", "postgresql", "localhost/ledger"),
    ],
)
def test_a_url_finds_its_backend_and_a_name_without_secrets(text: str, backend: str, name: str) -> None:
    url = ledger_url(text)
    assert backend_of(url).name_of(url) == name
    engine = backend_of(url).inspecting_engine(url)
    assert engine.dialect.name == backend
    engine.dispose()
