"""What was measured becomes ratios, verdicts and tables."""

import sys
from pathlib import Path

import pytest

from tests.bench import interpreter
from tests.bench.aims import AIMS, Aim, verdict
from tests.bench.load import Result
from tests.bench.many_teams import WORK, ManyTeams
from tests.bench.measures import Run, measures, ratios
from tests.bench.paced import Pace
from tests.bench.peers import PEERS
from tests.bench.report import aims_lines, machine, remarks, result_lines, write_page
from tests.bench.rounds import Findings, Rounds
from tests.bench.scenarios import QUICK, SCENARIOS
from tests.bench.sharing import Sharing
from tests.bench.stalls import Stall
from tests.bench.starting import Start
from tests.bench.workers import Workers

AT_MOST = Aim("cpu", "work", most=2.0)
AT_LEAST = Aim("many", "work", least=80)


@pytest.fixture(autouse=True)
def _this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be measured is the Python at hand: finding the fastest and making it ready takes a minute."""
    monkeypatch.setattr(interpreter, "python", lambda: sys.executable)


def result(cpu_us: float, *, errors: int = 0, calls: float = 1.0) -> Result:
    """A measurement of a thousand requests."""
    return Result(1000, 500.0, 0.002, 0.01, errors, cpu_us, 50_000_000, 1024**2, calls)


def run_of(rounds: Rounds, scenario: str = "poll") -> Run:
    return Run(Findings({scenario: rounds}, {"caddy"}))


def test_a_ratio_is_taken_round_by_round() -> None:
    rounds = {"gateway": [result(100), result(300)], "envoy": [result(50), result(100)]}
    assert ratios(rounds, "gateway", "envoy", lambda each: each.cpu_us) == [2.0, 3.0]
    assert ratios(rounds, "gateway", "litellm", lambda each: each.cpu_us) == []


@pytest.mark.parametrize(
    ("aim", "values", "line"),
    [
        (AT_MOST, [1.0, 2.0, 9.0], "| work | ≤ 2 times | 2 times (1 to 9) | met |"),
        (AT_MOST, [2.01], "| work | ≤ 2 times | 2.01 times | **not met** |"),
        (AT_LEAST, [79.0], "| work | ≥ 80 times | 79 times | **not met** |"),
        (AT_LEAST, [120.4], "| work | ≥ 80 times | 120 times | met |"),
        (AT_LEAST, [], "| work | ≥ 80 times | not measured | |"),
    ],
)
def test_the_median_is_judged(aim: Aim, values: list[float], line: str) -> None:
    assert verdict(aim, values) == line


def test_requests_per_cpu_second_compare_the_other_way_round() -> None:
    run = run_of({"gateway": [result(100)], "envoy": [result(125)], "litellm": [result(9000)]})
    found = measures(run)
    assert found["cpu poll envoy"] == [0.8]
    assert found["cpu litellm poll"] == [90.0]


def test_every_aim_has_its_measure() -> None:
    rounds = {name: [result(100)] for name in ("gateway", *PEERS)}
    stall = Stall(0.1, 0.005, 0.001)
    run = Run(
        Findings({scenario.name: rounds for scenario in SCENARIOS}),
        Sharing({"gateway": [Pace(10, 0.0215, 0.03, 0)]}, 1.0, Pace(10, 0.001, 0.03, 0), 1.01),
        [Start(0.5, 60_000_000)],
        Workers([result(100)], [result(110)]),
        ManyTeams({work: [result(100)] for work in WORK}, {work: [result(105)] for work in WORK}, [stall], [stall]),
    )
    found = measures(run)
    assert {aim.measure for aim in AIMS} == set(found)
    assert all(found.values())
    assert found["paced"][0] == pytest.approx(1.5)
    assert found["teams create"] == [1.05]
    assert "not measured" not in "\n".join(aims_lines(run, all_of_them=True))


def test_aims_that_were_not_measured_stand_on_the_page_alone() -> None:
    run = run_of({"gateway": [result(100)], "envoy": [result(125)]})
    assert "| forwarded poll: CPU beside Envoy | ≤ 1 times | 0.8 times | met |" in aims_lines(run, all_of_them=False)
    assert not any("not measured" in line for line in aims_lines(run, all_of_them=False))
    assert len(list(aims_lines(run, all_of_them=True))) == len(AIMS) + 2


def test_a_line_for_each_server_that_took_part() -> None:
    lines = list(result_lines(run_of({"nginx": [result(20), result(25)], "gateway": [result(100), result(100)]})))
    assert lines[2:] == [
        "| forwarded poll | nginx | 500 | 2.00 | 10.00 | 22 | 50 | 4.50 times (4.00 to 5.00) |",
        "| forwarded poll | gateway | 500 | 2.00 | 10.00 | 100 | 50 |  |",
    ]


def test_what_spoils_a_figure_is_said() -> None:
    text = "\n".join(remarks(run_of({"gateway": [result(100, calls=0.5)], "nginx": [result(20, errors=3)]})))
    assert "caddy could not be installed" in text
    assert "0.50 calls per poll of the gateway; **too few" in text
    assert "nginx failed 3 of 1000 calls" in text
    assert "Two workers were not measured" in text


def test_a_peer_that_ended_is_named_and_has_no_line() -> None:
    run = Run(Findings({"poll": {"portkey": [], "gateway": [result(100)]}}, gone={"portkey"}))
    assert "portkey ended by itself" in "\n".join(remarks(run))
    assert not any("portkey" in line for line in result_lines(run))
    assert measures(run)["cpu portkey poll"] == []


def test_the_page_names_its_command_and_no_place(tmp_path: Path) -> None:
    write_page(run_of({"gateway": [result(100)]}), "make bench", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "```text\nmake bench\n```" in page
    assert "@" not in page
    assert str(Path.home()) not in page


def test_the_machine_is_described_without_its_name() -> None:
    assert "cores" in machine()
    assert Path("/proc/sys/kernel/hostname").read_text().strip() not in machine().split()


def test_what_scenarios_name_is_known() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    assert {peer for scenario in SCENARIOS for peer in scenario.peers} == set(PEERS)
