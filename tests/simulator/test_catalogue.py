import math
import re

from gateway.simulator.catalogue import CATALOGUE
from gateway.simulator.models import Shape


def test_the_models_the_sample_policies_name_exist() -> None:
    assert {
        *("Veo3", "Veo3-Fast", "Veo3-Ultra", "Kling-Image2Video-V2.1-Master"),
        *("Kling-Text2Video-V2.1-Master", "seedance-2-0-260128", "seedream-5.0-lite"),
    } <= set(CATALOGUE)
    assert any(name.startswith("minimax-tts-") for name in CATALOGUE)


def test_every_oddity_of_the_real_catalogue_is_met() -> None:
    models = CATALOGUE.values()
    assert {model.shape for model in models} == set(Shape)
    assert {model.unit for model in models} >= {"second", "image", "request", "character"}
    assert {model.course for model in models} == {"waiting", "leaping", "inline"}
    assert any(" " in name for name in CATALOGUE)
    assert any(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) for name in CATALOGUE)
    assert any(math.isinf(model.seconds) for model in models)
    assert any(model.price is None for model in models)
    assert any(not model.echoes_payload for model in models)
    assert any(model.missing({}) is None for model in models)


def test_seconds_are_asked_for_in_three_ways() -> None:
    types = {
        (model.id, parameter.name): parameter.type for model in CATALOGUE.values() for parameter in model.parameters
    }
    assert types["Veo3", "durationSeconds"] == "enum"
    assert types["seedance-2-0-260128", "duration"] == "integer"
    assert types["pixverse-v5.6-t2v", "duration"] == "enum"
    assert ("wan2.6-r2v", "person_image.24") in types


def test_prices_are_whole_millionths_of_a_dollar() -> None:
    assert {type(model.price) for model in CATALOGUE.values()} == {int, type(None)}
