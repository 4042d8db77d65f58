"""The schemas are schemas, and name what the code knows."""

from jsonschema import Draft202012Validator

from gateway.core.errors import Code
from gateway.web.openapi_schemas import schemas


def test_every_schema_is_valid_and_refers_to_one_that_exists() -> None:
    known = schemas()
    for name, schema in known.items():
        Draft202012Validator.check_schema(schema)
        for reference in str(schema).split("'#/components/schemas/")[1:]:
            assert reference.partition("'")[0] in known, name


def test_every_error_code_may_be_told() -> None:
    known = schemas()
    assert known["Error"]["properties"]["code"]["enum"] == list(Code)
    assert known["Error"]["required"] == ["error"]
    assert set(known["Explanation"]["properties"]["code"]["enum"]) == {*Code, None}
