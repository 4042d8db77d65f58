import json
from pathlib import Path

from jsonschema import Draft202012Validator

from tests.command_line import Shell


def test_it_prints_a_schema_that_is_one(shell: Shell) -> None:
    printed = shell.run("schema")
    schema = json.loads(printed.out)
    assert printed.status == 0
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid({"team": "films", "models": {"allow": ["Veo3*"]}})
    assert not Draft202012Validator(schema).is_valid({"team": "films", "modells": {}})


def test_the_one_beside_the_sample_policies_is_this_one(shell: Shell) -> None:
    sample = Path(__file__).parents[2] / "policies" / "policy.schema.json"
    assert json.loads(sample.read_text()) == json.loads(shell.run("schema").out)
