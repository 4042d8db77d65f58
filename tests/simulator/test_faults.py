import pytest

from gateway.simulator.faults import Fault, Faults, Kind, Trouble, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("create_request:429", Fault("create_request", Kind.RATE_LIMITED)),
        ("create_request:429:0.5", Fault("create_request", Kind.RATE_LIMITED, 0.5)),
        ("get_request:latency:2", Fault("get_request", Kind.LATENCY, 2)),
        ("*:reset-after:1:3", Fault("*", Kind.RESET_AFTER, 1, 3)),
        ("upload_url:html::1", Fault("upload_url", Kind.HTML, 1, 1)),
    ],
)
def test_a_fault_is_read_and_written_back(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("create:429", "unknown operation 'create'"),
        ("nope", "unknown operation 'nope'; one of \\*, list_models, "),
        ("create_request:418", "unknown kind"),
        ("create_request", "unknown kind"),
        ("create_request:429:often", "could not convert"),
        ("create_request:429:1.5", "1.5 is out of range for 429"),
        ("create_request:429:-1", "-1.0 is out of range for 429"),
        ("create_request:latency:inf", "inf is out of range for latency"),
        ("create_request:latency:nan", "nan is out of range for latency"),
        ("create_request:429:1:x", "invalid literal"),
    ],
)
def test_a_wrong_fault_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse_fault(text)
    assert str(caught.value).startswith(f"fault '{text}': ")


@pytest.mark.parametrize(("share", "hits"), [(1.0, 10), (0.5, 5), (0.3, 3), (0.1, 1), (0.0, 0)])
def test_a_share_of_the_calls_is_hit_and_always_the_same_ones(share: float, hits: int) -> None:
    faults = [Faults([Fault("get_request", Kind.NO_CAPACITY, share)]) for _ in range(2)]
    first, second = ([fault.meet("get_request") for _ in range(10)] for fault in faults)
    assert first == second
    assert sum(trouble.failure is Kind.NO_CAPACITY for trouble in first) == hits


def test_a_fault_meets_only_its_operation() -> None:
    faults = Faults([Fault("get_request", Kind.NO_CAPACITY)])
    assert faults.meet("list_requests") == Trouble()


def test_latencies_add_up_and_the_first_failure_wins() -> None:
    faults = Faults(map(parse_fault, ("*:latency:2", "get_model:latency:0.5:1", "get_model:402:0.5", "*:html")))
    assert faults.meet("get_model") == Trouble(2.5, Kind.HTML)
    assert faults.meet("get_model") == Trouble(2.0, Kind.NO_CREDIT)


def test_times_ends_a_fault() -> None:
    faults = Faults([parse_fault("get_model:503:0.5:2")])
    met = [faults.meet("get_model").failure for _ in range(8)]
    assert met == [None, Kind.NO_CAPACITY, None, Kind.NO_CAPACITY, None, None, None, None]


def test_replacing_faults_starts_the_counts_again() -> None:
    fault = parse_fault("get_model:503:1:1")
    faults = Faults([fault])
    assert faults.meet("get_model").failure is Kind.NO_CAPACITY
    assert faults.meet("get_model").failure is None
    faults.replace([fault])
    assert faults.meet("get_model").failure is Kind.NO_CAPACITY
