from gateway.core.detail import ModelDetail, Parameter


def test_a_model_may_be_known_by_its_name_alone() -> None:
    assert ModelDetail("Veo3") == ModelDetail("Veo3", parameters=(), price=None)


def test_a_parameter_is_optional_and_without_default_unless_it_says_so() -> None:
    assert Parameter("seed", "integer") == Parameter(
        "seed", "integer", required=False, default=None, options=(), minimum=None, maximum=None
    )
