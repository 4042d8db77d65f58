"""Validate policy files: one `FILE:LINE:COL: message` for every problem.

Exit status 0 when they can be used (warnings are allowed), 1 when not, 2 when they cannot be read.
"""

import importlib
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from gateway.cli.display import BAD, DOUBTFUL, show_line
from gateway.cli.invocation import Invocation
from gateway.cli.options import add_settings
from gateway.core.nodes import Severity
from gateway.policies import Loaded, load


def add_options(parser: ArgumentParser) -> None:
    """The files, and whether to ask upstream."""
    parser.add_argument(
        "policies", nargs="?", metavar="DIR", help="a folder or a file [GATEWAY_POLICIES, default policies]"
    )
    parser.add_argument(
        "--online", action="store_true", help="also against upstream's live catalogue, with the real credential"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    add_settings(parser, "upstream_url")


def run(call: Invocation) -> int:
    """Print every problem and a closing line with the counts."""
    path = Path(call.settings.policies)
    loaded = load(path, now=call.now)
    if call.options.online and loaded.policy is not None:
        # By name: only this needs an HTTP client.
        loaded = importlib.import_module("gateway.cli.check_online").load_online(call, path, loaded.policy)
    if call.options.format == "json":
        print(json.dumps(_values(loaded), indent=2, ensure_ascii=False))
    else:
        _print_text(path, loaded)
    if not loaded.readable:
        return 2
    return 0 if loaded.policy is not None else 1


def _print_text(path: Path, loaded: Loaded) -> None:
    for problem in loaded.problems:
        show_line(str(problem), BAD if problem.severity is Severity.ERROR else DOUBTFUL)
    print(f"{path}: {_summary(loaded)}")


def _values(loaded: Loaded) -> dict[str, Any]:
    """The same for programs. `name` is a warning's, null for an error."""
    problems = [
        {
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "severity": problem.severity.value,
            "name": problem.name or None,
            "message": problem.message,
        }
        for problem in loaded.problems
    ]
    return {"valid": loaded.policy is not None, "problems": problems}


def _summary(loaded: Loaded) -> str:
    errors = sum(problem.severity is Severity.ERROR for problem in loaded.problems)
    found = [_count(errors, "error"), _count(len(loaded.problems) - errors, "warning")]
    if loaded.policy is not None:
        teams = loaded.policy.teams.values()
        keys = sum(len(team.keys) for team in teams)
        limits = sum(len(team.limits) for team in teams)
        found = [_count(len(teams), "team"), _count(keys, "key"), _count(limits, "limit"), *found[1:]]
    return ", ".join(found)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
