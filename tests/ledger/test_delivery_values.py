from gateway.core.webhooks import Standing
from gateway.ledger.delivery_values import DeliveryState

NOW = 1_800_000_000.0


def test_the_row_for_programs_has_instants_in_words() -> None:
    state = DeliveryState(
        id="msg_1",
        kind="job",
        team="red",
        request_id="r1",
        host="hooks.example.com",
        standing=Standing.DUE,
        attempts=2,
        status=500,
        problem="answered 500",
        created_at=NOW,
        due_at=NOW + 1,
        next_attempt_at=NOW + 2,
        ended_at=None,
    )
    assert state.facts() == {
        "id": "msg_1",
        "kind": "job",
        "team": "red",
        "request_id": "r1",
        "host": "hooks.example.com",
        "state": "due",
        "attempts": 2,
        "status": 500,
        "problem": "answered 500",
        "created_at": "2027-01-15T08:00:00Z",
        "due_at": "2027-01-15T08:00:01Z",
        "next_attempt_at": "2027-01-15T08:00:02Z",
        "ended_at": None,
    }
