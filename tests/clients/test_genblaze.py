"""An unmodified client: genblaze's GMI provider, told the gateway's address and a team key, and nothing else."""

import asyncio
import time
from contextlib import closing
from typing import Any

import pytest
from genblaze_core import Modality, Pipeline
from genblaze_gmicloud import GMICloudImageProvider, GMICloudVideoProvider

from tests.conftest import House, OpenHouse, Q, team

ARTIFACTS = "https://artifacts.example"
"""This client refuses an artifact whose URL is not https, as GMI's are."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client first sleeps most of the time it expects a video to take; the simulator's are there at once."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.1)))


async def run(house: House, step: dict[str, Any]) -> Any:
    """Run a pipeline of one step in a thread, as a script would."""
    address: dict[str, Any] = {"api_key": "key", "base_url": house.running.public_url + Q, "poll_interval": 0.2}
    with closing(step.pop("provider")(**address)) as provider:
        pipeline = Pipeline("through-the-gateway").step(provider, prompt="a lighthouse at dawn", **step)
        return (await asyncio.to_thread(pipeline.run, timeout=30, raise_on_failure=True)).run


async def test_a_video_pipeline(open_house: OpenHouse) -> None:
    house = await open_house(
        {"a.yaml": team("a", "key", "limits: [5 jobs per day, 100 USD per month]")}, origin=ARTIFACTS
    )
    result = await run(
        house,
        {
            "provider": GMICloudVideoProvider,
            "model": "Kling-Text2Video-V2.1-Master",
            "modality": Modality.VIDEO,
            "duration": 5,
            "aspect_ratio": "16:9",
        },
    )
    assert result.steps[0].assets[0].url.startswith(f"{ARTIFACTS}/artifacts/")
    assert await house.used("jobs", "a") == 1


async def test_an_image_pipeline(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day]")}, origin=ARTIFACTS)
    result = await run(
        house, {"provider": GMICloudImageProvider, "model": "seedream-5.0-lite", "modality": Modality.IMAGE}
    )
    assert result.steps[0].assets[0].url.startswith(f"{ARTIFACTS}/artifacts/")
    assert await house.used("jobs", "a") == 1
