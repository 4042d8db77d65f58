import math

from gateway.simulator.timeline import Course, plan, step_at

START = 1_800_000_000.0


def statuses(course: Course, seconds: float) -> list[str]:
    steps = plan(course, START, seconds, "success")
    return [step_at(steps, START + elapsed).status for elapsed in (-1, 0, 1, 9, 20, 99.9, 100, 1e9)]


def test_a_waiting_job_shows_every_status_on_its_way() -> None:
    assert statuses("waiting", 100) == [
        *("created", "created", "queued", "queued"),
        *("processing", "processing", "success", "success"),
    ]
    assert step_at(plan("waiting", START, 100, "success"), START + 12).status == "dispatched"


def test_a_leaping_job_goes_from_the_queue_to_its_end() -> None:
    assert statuses("leaping", 100) == ["created", "created", *["queued"] * 4, "success", "success"]


def test_an_inline_job_is_processed_at_once() -> None:
    assert statuses("inline", 100) == [*["processing"] * 6, "success", "success"]


def test_a_job_without_end_stays_queued() -> None:
    assert statuses("waiting", math.inf) == ["created", "created", *["queued"] * 6]


def test_a_step_tells_when_it_was_reached() -> None:
    assert step_at(plan("waiting", START, 100, "failed"), START + 500).at == START + 100
