"""Print the JSON Schema (2020-12) of the policy files.

Editors with a YAML language server check and complete a policy file that begins with
`# yaml-language-server: $schema=policy.schema.json`.
"""

import json
from argparse import ArgumentParser

from gateway.cli.invocation import Invocation
from gateway.core.json_schema import policy_schema


def add_options(_: ArgumentParser) -> None:
    """It takes none."""


def run(_: Invocation) -> int:
    """Print it."""
    print(json.dumps(policy_schema(), indent=2, ensure_ascii=False))
    return 0
