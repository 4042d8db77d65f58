"""Look at everything a gateway depends on: one line each, and what to do where something is wrong.

Name and certificate of upstream, every key and organisation, the clocks, the ledger, the policies, the disk. Upstream
is asked for its listing and its list of requests; nothing is created, charged or changed, and no secret is shown. Exit
status 1 if a check fails; a warning is no failure.
"""

import json
import logging
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from threading import Thread

from gateway.cli.display import BAD, DOUBTFUL, GOOD, IDLE, Marked, show_marked
from gateway.cli.doctor_ledger import check_ledger
from gateway.cli.doctor_local import check_disk, check_policies, check_proxies
from gateway.cli.doctor_network import check_network
from gateway.cli.doctor_upstream import check_upstream
from gateway.cli.findings import Finding, Verdict, fail, skip
from gateway.cli.invocation import Invocation
from gateway.cli.options import add_settings, saying_why
from gateway.core.quantities import parse_duration
from gateway.logs import logger

SIGNS = {
    Verdict.OK: ("✓", GOOD),
    Verdict.WARN: ("!", DOUBTFUL),
    Verdict.FAIL: ("✗", BAD),
    Verdict.SKIP: ("-", IDLE),
}

PATIENCE = 20.0
"""Seconds for all checks together."""


def add_options(parser: ArgumentParser) -> None:
    """What is looked at, and for how long."""
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--timeout",
        type=saying_why(parse_duration),
        default=PATIENCE,
        help=f"for all checks together (default {PATIENCE:g} s)",
    )
    add_settings(parser, "policies", "ledger", "upstream_url", "simulate")


def run(call: Invocation) -> int:
    """Look, and print the findings."""
    with _silence():
        findings = _look(call)
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    if call.options.format == "json":
        print(json.dumps({"ok": not failed, "checks": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print_text(findings)
    return 1 if failed else 0


@contextmanager
def _silence() -> Iterator[None]:
    """The gateway's own log says nothing meanwhile: what goes wrong here is a finding."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _look(call: Invocation) -> list[Finding]:
    settings = call.settings
    policy, findings = check_policies(call)
    probes: dict[str, Callable[[], list[Finding]]] = {"ledger": partial(check_ledger, call)}
    if settings.simulate:
        findings.append(skip("upstream", "the simulator stands in for it"))
    else:
        probes = {"network": partial(check_network, settings.upstream_url, call.options.timeout / 2), **probes}
        if policy is not None:
            probes["upstream"] = partial(check_upstream, call, policy, call.options.timeout / 2)
    findings += run_probes(probes, call.options.timeout)
    return [*findings, *check_disk(settings.ledger), *check_proxies(call.environment)]


def run_probes(probes: dict[str, Callable[[], list[Finding]]], seconds: float) -> list[Finding]:
    """What the probes find, all at once and each in a thread that nobody waits for when the time is up."""
    found: dict[str, list[Finding]] = {}

    def probe(name: str, look: Callable[[], list[Finding]]) -> None:
        found[name] = look()

    threads = [Thread(target=probe, args=each, daemon=True) for each in probes.items()]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {seconds:g} s"
    remedy = "look whether a name server, a firewall or the ledger's server lets everybody wait"
    return [finding for name in probes for finding in found.get(name, [fail(name, late, remedy)])]


def _print_text(findings: Sequence[Finding]) -> None:
    show_marked([Marked(*SIGNS[finding.verdict], finding.check, _advised(finding)) for finding in findings])
    print(_summary(findings))


def _advised(finding: Finding) -> str:
    return f"{finding.text} → {finding.remedy}" if finding.remedy else finding.text


def _summary(findings: Iterable[Finding]) -> str:
    verdicts = [finding.verdict for finding in findings]
    return f"{verdicts.count(Verdict.FAIL)} failed, {verdicts.count(Verdict.WARN)} warned, {len(verdicts)} checked"
