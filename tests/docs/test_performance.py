"""What other pages say of the measurements is what the page of the measurements says."""

import re

from tests.bench.aims import AIMS
from tests.docs.pages import PERFORMANCE, README


def test_the_readme_tells_what_a_poll_costs_beside_envoy_as_it_was_measured() -> None:
    aim = next(aim for aim in AIMS if aim.measure == "cpu poll envoy")
    row = next(row for row in PERFORMANCE.text.splitlines() if row.startswith(f"| {aim.work} |"))
    found = re.search(r"\| ([\d.]+) times \(([\d.]+) to ([\d.]+)\) \|", row)
    assert found is not None, row
    median, least, most = map(float, found.groups())
    assert round(3 * median) == 4  # else it is not "about a third more"
    told = f"costs about a third more CPU ({least:.1f} to {most:.1f} times) than it costs Envoy"
    assert told in " ".join(README.text.split())
