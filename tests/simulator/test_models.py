from gateway.simulator.models import Model, Parameter, Shape

MODEL = Model(
    id="a-model",
    brief="Does nothing.",
    kind="image",
    seconds=10,
    shape=Shape.MEDIA_URLS,
    course="inline",
    price=35_000,
    unit="image",
    parameters=(
        Parameter(name="prompt", required=True),
        Parameter(name="guidance.scale", type="float", default=0.0, minimum=0.0, maximum=1.0),
    ),
)


def test_the_detail_has_upstreams_fields_in_upstreams_order() -> None:
    detail = MODEL.detail()
    assert list(detail) == [
        *("model", "org_id", "brief_description", "detailed_description", "modalities", "model_type"),
        *("delivery_mode", "tags", "price_info", "pricing_details", "parameters"),
    ]
    assert detail["delivery_mode"] == "sync"
    assert detail["price_info"] == {"price": 35_000, "unit": "image", "pricing_type": "per_image"}


def test_a_parameter_leaves_out_the_limits_it_has_not_and_keeps_zero() -> None:
    prompt, scale = MODEL.detail()["parameters"]
    assert list(prompt) == ["name", "display_name", "description", "type", "required"]
    assert scale["display_name"] == "Guidance scale"
    assert (scale["default_value"], scale["min_value"], scale["max_value"]) == (0.0, 0.0, 1.0)


def test_a_missing_required_parameter_is_named() -> None:
    assert MODEL.missing({}) == "prompt"
    assert MODEL.missing({"prompt": None}) is None
