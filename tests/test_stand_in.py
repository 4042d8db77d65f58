"""The simulator in upstream's place takes what it is said to take, and ends with its block."""

import httpx
import pytest

from gateway.stand_in import simulated
from tests.conftest import Q


async def test_it_answers_with_its_key_and_organisation_until_the_block_ends() -> None:
    async with httpx.AsyncClient() as client:
        async with simulated() as stand_in:
            models = f"{stand_in.url}{Q}/models"
            account = {"Authorization": f"Bearer {stand_in.key}", "X-Organization-ID": stand_in.organization}
            assert (await client.get(models, headers=account)).status_code == 200
            assert (await client.get(models, headers=account | {"Authorization": "Bearer other"})).status_code == 401
        with pytest.raises(httpx.ConnectError):
            await client.get(models, headers=account)
