import httpx
import pytest

from tests.simulator.conftest import QUEUE


@pytest.mark.parametrize("path", ["/", "/nope", f"{QUEUE}/models/", f"{QUEUE}/nope", f"{QUEUE}/requests/a/b"])
async def test_an_unknown_path_is_404_in_upstreams_form(anonymous: httpx.AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


async def test_a_wrong_method_is_405_in_upstreams_form(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.put(f"{QUEUE}/models")
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
