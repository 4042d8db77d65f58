import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gateway.cli.doctor_network import check_clock, check_date, check_network
from gateway.cli.findings import Finding, Verdict
from tests.core.worlds import NOON
from tests.upstream.test_tls import certificates

__all__ = ["certificates"]


class Silent(BaseHTTPRequestHandler):
    """Answers everything with 401 and its date, as upstream does to a call without a key."""

    def do_HEAD(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path, name: str) -> Iterator[str]:
    """The URL of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that turns away is no news
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_a_good_certificate_is_verified_and_its_days_are_counted(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "root.pem"))
    with served(certificates, "good") as url:
        found = by_check(check_network(url, 5))
    assert found["dns"].verdict is Verdict.OK
    assert (found["tls"].verdict, found["clock"].verdict) == (Verdict.WARN, Verdict.OK)
    assert found["tls"].text.startswith("TLSv1.3, certificate verified, 1 days left")
    monkeypatch.setattr("gateway.cli.doctor_network.EXPIRES_SOON", 3600.0)
    with served(certificates, "good") as url:
        assert by_check(check_network(url, 5))["tls"].verdict is Verdict.OK


@pytest.mark.parametrize("name", ["expired", "wrongname", "selfsigned"])
def test_a_certificate_that_does_not_hold_fails(certificates: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "root.pem"))
    with served(certificates, name) as url:
        found = by_check(check_network(url, 5))
    assert found["tls"].verdict is Verdict.FAIL
    assert found["tls"].text.startswith("localhost is not trusted: ")
    assert "SSL_CERT_FILE" in found["tls"].remedy


def test_plain_http_is_warned_of_but_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            assert by_check(check_network(url, 5))["tls"].verdict is Verdict.SKIP
            monkeypatch.setattr("gateway.cli.doctor_network._LOOPBACK", ())
            assert by_check(check_network(url, 5))["tls"].verdict is Verdict.WARN
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("skew", "verdict"),
    [(0, Verdict.OK), (5, Verdict.OK), (-5, Verdict.OK), (6, Verdict.WARN), (60, Verdict.WARN), (-61, Verdict.FAIL)],
)
def test_a_clock_may_differ_a_little(skew: int, verdict: Verdict) -> None:
    finding = check_clock("upstream", NOON, NOON + skew)
    assert (finding.verdict, bool(finding.remedy)) == (verdict, verdict is not Verdict.OK)
    if verdict is not Verdict.OK:
        assert f"{abs(skew)} s {'ahead of' if skew > 0 else 'behind'} upstream's" in finding.text


def test_a_date_is_in_whole_seconds_and_may_be_missing() -> None:
    date = formatdate(NOON, usegmt=True)
    assert check_date("upstream", date, NOON + 5.9).verdict is Verdict.OK
    assert check_date("upstream", date, NOON + 6.1).verdict is Verdict.WARN
    assert check_date("upstream", date, NOON - 5).verdict is Verdict.OK
    assert check_date("upstream", "", NOON).verdict is Verdict.SKIP


def test_a_name_that_is_none() -> None:
    (finding,) = check_network("https://nowhere.invalid", 5)
    assert (finding.check, finding.verdict) == ("dns", Verdict.FAIL)
    assert finding.text.startswith("nowhere.invalid cannot be resolved: ")
