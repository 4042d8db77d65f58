from dataclasses import replace

import pytest

from gateway.core.lifecycle import Outcome
from gateway.ledger.values import Owner, new_reservation_id
from tests.ledger.samples import NOW, reservation


def test_an_owner_is_charged_as_the_job_ends() -> None:
    lenient = Owner("red", "web", "Veo3", "default", NOW, 300, charge_failed=False)
    strict = Owner("red", "web", "Veo3", "default", NOW, 300, charge_failed=True)
    assert [lenient.charge(outcome) for outcome in Outcome] == [300, 0, 0, 300]
    assert [strict.charge(outcome) for outcome in Outcome] == [300, 300, 300, 300]


def test_ids_of_reservations_follow_the_time_and_never_repeat() -> None:
    ids = [new_reservation_id(NOW + number / 1000) for number in range(100)]
    assert ids == sorted(ids)
    assert len({new_reservation_id(NOW) for _ in range(100)}) == 100
    assert {len(each) for each in ids} == {32}


def test_no_create_stands_under_a_key_without_a_digest_of_its_bytes() -> None:
    with pytest.raises(ValueError, match="without a digest"):
        replace(reservation("r1", key="k"), body_digest=b"")
    assert replace(reservation("r1"), body_digest=b"").idempotency_key is None
