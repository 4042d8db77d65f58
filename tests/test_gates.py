"""What upstream refused is told again until it may be asked."""

from dataclasses import replace

from gateway.gates import close_gate, closed_gate
from gateway.upstream.client import Answer
from tests.conftest import House, OpenHouse, team

BODY = b'{"error":"Rate limit exceeded for model Veo3: 2 requests per 60 seconds."}'
REFUSAL = Answer(429, ((b"content-type", b"application/json"), (b"retry-after", b"30")), BODY)


def pass_time(house: House, seconds: float) -> None:
    """Let every gate be that much older."""
    for place, gate in house.gw.gates.items():
        house.gw.gates[place] = replace(gate, opens_at=gate.opens_at - seconds)


async def test_up10_a_refusal_is_told_again_with_the_time_that_is_left(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    close_gate(gw, "default", "Veo3", REFUSAL)
    pass_time(house, 9.5)

    told = closed_gate(gw, "default", "Veo3")

    assert told is not None
    assert (told.status, told.body) == (429, BODY)
    assert dict(told.headers) == {b"content-type": b"application/json", b"retry-after": b"21"}


async def test_up10_only_that_model_of_that_credential_is_closed_and_only_for_so_long(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    close_gate(gw, "default", "Veo3", REFUSAL)
    assert closed_gate(gw, "default", "Veo3-Fast") is None
    assert closed_gate(gw, "studio", "Veo3") is None
    pass_time(house, 30)
    assert closed_gate(gw, "default", "Veo3") is None


async def test_ca2_gates_that_opened_are_forgotten(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    for number in range(5):
        close_gate(gw, "default", f"model-{number}", REFUSAL)
        pass_time(house, 30)
    assert list(gw.gates) == [("default", "model-4")]
