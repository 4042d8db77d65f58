from gateway.core.lifecycle import Outcome
from gateway.ledger.values import Owner
from tests.ledger.samples import NOW


def test_an_owner_is_charged_as_the_job_ends() -> None:
    lenient = Owner("red", "web", "Veo3", "default", NOW, 300, charge_failed=False)
    strict = Owner("red", "web", "Veo3", "default", NOW, 300, charge_failed=True)
    assert [lenient.charge(outcome) for outcome in Outcome] == [300, 0, 0, 300]
    assert [strict.charge(outcome) for outcome in Outcome] == [300, 300, 300, 300]
