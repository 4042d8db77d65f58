"""Every route is described, every refusal belongs to some call, and every name leads somewhere."""

from jsonschema import Draft202012Validator

from gateway.core.errors import Code
from gateway.web.openapi_operations import ANY, EXAMPLES, KEYED, OPERATIONS, PARAMETERS
from gateway.web.openapi_schemas import schemas
from gateway.web.public_routes import public_routes


def test_every_route_is_described_and_nothing_else() -> None:
    routes = public_routes().routes
    assert set(OPERATIONS) == {(route.label, method) for route in routes for method in {*route.methods} - {"HEAD"}}


def test_every_error_code_is_said_of_some_call() -> None:
    told = {code for operation in OPERATIONS.values() for code in operation.all_codes}
    assert told | {*ANY, *KEYED} == set(Code)


def test_what_is_named_exists_and_is_used() -> None:
    known = schemas()
    assert {operation.body for operation in OPERATIONS.values()} - {None} == set(EXAMPLES)
    for name, example in EXAMPLES.items():
        Draft202012Validator(known[name]).validate(example)
    for operation in OPERATIONS.values():
        assert {operation.answer, operation.body} - {None} <= set(known)
    assert {name for operation in OPERATIONS.values() for name in operation.parameters} == set(PARAMETERS)
