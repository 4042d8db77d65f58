import hashlib

import httpx

from gateway.simulator import Simulator
from gateway.simulator.journal import KEPT, Entry, Journal
from tests.simulator.conftest import QUEUE


async def test_an_entry_tells_what_arrived(simulator: Simulator, client: httpx.AsyncClient) -> None:
    body = b'{"model":"Veo3","payload":{"prompt":"a fox"}}'
    await client.post("/requests?a=1&b", content=body, headers=[("X-One", "1"), ("x-one", "2")])
    (entry,) = simulator.simulation.journal.entries
    assert (entry.method, entry.path, entry.query) == ("POST", f"{QUEUE}/requests", ["a", "b"])
    assert (entry.operation, entry.key_accepted) == ("create_request", True)
    assert entry.headers.count("x-one") == 2
    assert entry.authorization_sha256 == hashlib.sha256(b"Bearer simulated-gmi-key").hexdigest()
    assert (entry.body_bytes, entry.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())


async def test_the_path_is_kept_as_sent(simulator: Simulator, anonymous: httpx.AsyncClient) -> None:
    await anonymous.get("/%2e%2e/%61?q=%00")
    (entry,) = simulator.simulation.journal.entries
    assert (entry.path, entry.operation, entry.authorization_sha256) == ("/%2e%2e/%61", "other", None)


async def test_no_secret_is_in_the_report(anonymous: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    presigned = (await client.post("/upload-url", json={"file_type": "png"})).json()
    await anonymous.put(presigned["upload_url"], content=b"a secret prompt")
    report = (await anonymous.get("/simulator/requests")).text
    signature = presigned["upload_url"].rpartition("=")[2]
    assert '"X-Goog-Signature"' in report
    for secret in ("simulated-gmi-key", signature, "a secret prompt"):
        assert secret not in report


def test_the_journal_keeps_the_latest_and_counts_all() -> None:
    journal = Journal()
    for number in range(KEPT + 5):
        entry = Entry("GET", f"/{number}", [], [], None)
        journal.add(entry)
        journal.name(entry, "get_model")
    assert len(journal.entries) == KEPT
    assert journal.entries[0].path == "/5"
    assert journal.report()["total"] == journal.counts["get_model"] == KEPT + 5
