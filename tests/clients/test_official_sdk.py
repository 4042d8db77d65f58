"""The official SDK's VideoClient, unmodified; its address and its token are set on its objects, as the docs say."""

import asyncio
from collections.abc import Callable
from typing import Any

from gmicloud._internal._client._iam_client import IAMClient
from gmicloud._internal._client._video_client import VideoClient
from gmicloud._internal._models import SubmitRequestRequest

from tests.conftest import House, OpenHouse, Q, team


def video_client(house: House, key: str) -> VideoClient:
    """The SDK's client, whose access token is the team key."""
    iam = IAMClient("client", "nobody@example.com", "password")
    iam._access_token = key
    client = VideoClient(iam)
    client.client.base_url = house.running.public_url + Q
    return client


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


async def test_a_job_from_create_to_success(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [1 jobs per day]")}, speed=10_000)
    client = video_client(house, "key")

    created = await in_thread(client.create_request, SubmitRequestRequest(model="Veo3", payload={"prompt": "dawn"}))

    async def finished() -> bool:
        record = await in_thread(client.get_request_detail, created.request_id)
        return bool(record.status.value == "success" and record.outcome["video_url"])

    await house.eventually(finished)
    listed = await in_thread(client.get_requests, "Veo3")
    assert [record.request_id for record in listed] == [created.request_id]


async def test_a_models_detail_validates_in_the_sdk(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    detail = await in_thread(video_client(house, "key").get_model_detail, "Veo3")
    assert detail.model == "Veo3"
    assert any(parameter["name"] == "durationSeconds" for parameter in detail.parameters)


async def test_a_refusal_reaches_the_user_as_the_gateways_sentence(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [0 jobs per day]")})
    request = SubmitRequestRequest(model="Veo3", payload={"prompt": "dawn"})
    refused = await in_thread(video_client(house, "key").create_request, request)
    assert "limit 'jobs-day'" in str(refused)
