"""What Prometheus sees."""

import threading

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.telemetry import OTHER, Metrics
from tests.quickly import quickly


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name by their label values, ordered by the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in parse_text(metrics.render("")[0].decode())
        for sample in family.samples
        if sample.name == name
    }


def names(metrics: Metrics) -> set[str]:
    return {sample.name for family in parse_text(metrics.render("")[0].decode()) for sample in family.samples}


def test_counted_values_are_rendered_with_their_labels(metrics: Metrics) -> None:
    metrics.calls.of("marketing", "/requests", "POST", 200).note(1.0, 0.1)
    metrics.calls.of("marketing", "/requests", "POST", 200).note(1.0, 0.1)
    metrics.job_cost("marketing", "Veo3").inc(0.4)
    assert series(metrics, "gateway_requests_total") == {("200", "POST", "/requests", "marketing"): 2}
    assert series(metrics, "gateway_job_cost_usd_total") == {("Veo3", "marketing"): 0.4}
    assert series(metrics, "gateway_build_info") == {("1.2.3",): 1}


def test_every_series_has_the_prefix_and_none_tells_when_it_was_created(metrics: Metrics) -> None:
    metrics.denied("marketing", "rate_limited").inc()
    metrics.job_duration("Veo3").observe(12)
    assert all(name.startswith("gateway_") for name in names(metrics))
    assert not [name for name in names(metrics) if name.endswith("_created")]


def test_a_scraper_that_accepts_openmetrics_gets_it(metrics: Metrics) -> None:
    metrics.denied("marketing", "rate_limited").inc()
    body, media_type = metrics.render("application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]  # the library left it untyped
    assert "gateway_denied" in {family.name for family in families}


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/json", ";;,,=", "text/plain;version=0.0.4"])
def test_every_other_scraper_gets_text(metrics: Metrics, accept: str) -> None:
    body, media_type = metrics.render(accept)
    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE gateway_ledger_up gauge" in body


def test_ca2_removed_teams_leave_no_series(metrics: Metrics) -> None:
    for team in ("marketing", "studio", OTHER):
        metrics.calls.of(team, "/requests", "GET", 200).note(1.0, 0.1)
        metrics.denied(team, "rate_limited").inc()
    metrics.upstream_calls.note("get_request", "200", 0.1)
    metrics.keep_teams({"studio"})
    rendered = metrics.render("")[0]
    assert b"marketing" not in rendered
    assert rendered.count(b'team="studio"') == 2
    assert rendered.count(b'team="other"') == 2
    assert b'operation="get_request"' in rendered


def test_ca2_a_team_that_comes_back_starts_at_zero(metrics: Metrics) -> None:
    metrics.denied("marketing", "rate_limited").inc(5)
    metrics.keep_teams(set())
    metrics.denied("marketing", "rate_limited").inc()
    assert series(metrics, "gateway_denied_total") == {("rate_limited", "marketing"): 1}


def test_ca2_calls_of_a_team_that_comes_back_start_at_zero(metrics: Metrics) -> None:
    for teams in ({"studio"}, set[str]()):
        for team in ("marketing", "studio"):
            metrics.calls.of(team, "/requests", "GET", 200).note(1.0, 0.1)
        metrics.keep_teams(teams)
    metrics.calls.of("marketing", "/requests", "GET", 200).note(1.0, 0.1)
    assert series(metrics, "gateway_requests_total") == {("200", "GET", "/requests", "marketing"): 1}


def fill(metrics: Metrics, teams: int) -> None:
    """32 series a team: what the families named after teams grow to."""
    names = [f"team-{number}" for number in range(teams)]
    limits = {(team, f"limit-{limit}"): limit for team in names for limit in range(8)}
    models = [(team, f"model-{model}") for team in names for model in range(4)]
    metrics.quota_limit.show(dict.fromkeys(limits, 10))
    metrics.quota_used.show(limits)
    metrics.jobs_active.show(dict.fromkeys(models, 1))
    for team, model in models:
        metrics.jobs_created(team, model).inc()
        metrics.jobs_finished(team, model, "success").inc()
        metrics.job_cost(team, model).inc(0.4)


def test_ca2_a_hundred_teams_are_scraped_within_bounds(metrics: Metrics) -> None:
    fill(metrics, teams=100)
    body, _ = quickly(lambda: metrics.render(""), within=0.1)
    assert len(body) < 1_000_000
    assert body.count(b"\n") > 3200


def test_ca2_a_thousand_reloads_do_not_grow_the_series(metrics: Metrics) -> None:
    sizes = []
    for generation in range(1000):
        metrics.policy_info.show({(f"{generation:064x}",): 1})
        metrics.calls.of(f"team-{generation}", "/requests", "GET", 200).note(1.0, 0.1)
        metrics.keep_teams({f"team-{generation}"})
        if generation in (10, 999):
            sizes.append(metrics.render("")[0].count(b"\n"))
    assert sizes[0] == sizes[1]


def test_rendering_in_a_thread_meets_counting_in_another(metrics: Metrics) -> None:
    """Series come and go while the text is written, as they do under a live scrape."""
    done = threading.Event()
    rendered: list[bytes] = []

    def scrape() -> None:
        while not done.is_set():
            rendered.append(metrics.render("")[0])

    thread = threading.Thread(target=scrape)
    thread.start()
    for number in range(3000):
        metrics.calls.of(f"team-{number}", "/requests", "GET", 200).note(1.0, 0.1)
        if number % 100 == 0:
            metrics.keep_teams({f"team-{number}"})
    done.set()
    thread.join()
    assert rendered
    assert all(text.endswith(b"\n") for text in rendered)


def test_single_series_are_read_over_all_workers() -> None:
    one, other = Metrics("0"), Metrics("0")
    one.denied("a", "rate_limited").inc()
    other.denied("a", "rate_limited").inc(2)
    other.denied("b", "rate_limited").inc()
    series = one.series(("gateway_denied_total", "gateway_uploads_total"), [other.dump()])
    assert {labels["team"]: value for labels, value in series["gateway_denied_total"]} == {"a": 3.0, "b": 1.0}
    assert series["gateway_uploads_total"] == []
