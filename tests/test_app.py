"""The whole is put together, kept going, and taken apart again."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.app import opened, running
from gateway.settings import read_settings
from gateway.starting import StartError
from tests.clocks import wall_clock

__all__ = ["wall_clock"]


async def refusal(environment: dict[str, str]) -> str:
    """Why a gateway with these settings does not start."""
    with pytest.raises(StartError) as raised:
        async with running(read_settings(environment, {}), environment):
            pass
    return str(raised.value)


async def test_it_listens_and_names_both_places(environment: dict[str, str]) -> None:
    async with running(read_settings(environment, {}), environment) as gateway:
        places = [gateway.public_url, gateway.admin_url]
        for place in places:
            (await asyncio.open_connection("127.0.0.1", int(place.rpartition(":")[2])))[1].close()
    assert gateway.simulator_url is None
    for place in places:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(place.rpartition(":")[2]))


async def test_with_simulate_no_key_is_needed(environment: dict[str, str]) -> None:
    del environment["GMI_API_KEY"]
    environment["GATEWAY_SIMULATE"] = "on"
    async with running(read_settings(environment, {}), environment) as gateway:
        assert gateway.simulator_url is not None
        assert (await gateway.gw.upstream.list_models("default")).status == 200


async def test_po1_bad_policies_are_named_with_their_place_all_at_once(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "policies" / "b.yaml").write_text("team: b\nlimits: null\nkees: []\n")
    lines = (await refusal(environment)).splitlines()
    assert [line.rpartition("/")[2].partition(": ")[0] for line in lines] == ["b.yaml:2:9", "b.yaml:3:1"]


async def test_a_missing_key_is_named_and_the_way_around_it(environment: dict[str, str]) -> None:
    del environment["GMI_API_KEY"]
    said = await refusal(environment)
    assert "GMI_API_KEY" in said
    assert "--simulate" in said


async def test_le4_a_ledger_that_is_none_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"no database at all" * 1000)
    assert "gateway.db" in await refusal(environment)
    environment["GATEWAY_LEDGER"] = f"sqlite:///{tmp_path / 'nowhere' / 'gateway.db'}"
    assert "nowhere" in await refusal(environment)


async def test_a_port_that_is_taken_is_said_and_nothing_stays_behind(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment["GATEWAY_ADMIN_PORT"] = str(taken.getsockname()[1])
        assert "is another gateway running?" in await refusal(environment)
    assert not (tmp_path / "gateway.db").exists(), "whoever finds one takes it for a gateway's that ran"


async def test_whatever_keeps_it_from_starting_frees_its_ports(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    environment["GATEWAY_PORT"] = str(port)
    (tmp_path / "gateway.db").touch()
    assert "ledger: " in await refusal(environment)
    socket.create_server(("127.0.0.1", port)).close()


async def test_one_port_for_both_listeners_is_said(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = str(other.getsockname()[1])
    said = await refusal(environment | {"GATEWAY_PORT": free, "GATEWAY_ADMIN_PORT": free})
    assert said.startswith(f"GATEWAY_PORT and GATEWAY_ADMIN_PORT are both {free}: ")


async def test_tls_files_that_cannot_be_used_are_named(environment: dict[str, str], tmp_path: Path) -> None:
    said = await refusal(environment | {"GATEWAY_TLS_CERT": "/nope", "GATEWAY_TLS_KEY": "/nope"})
    assert said.splitlines()[0] == "GATEWAY_TLS_CERT /nope: No such file or directory"
    assert not (tmp_path / "gateway.db").exists()


async def test_an_admin_token_that_cannot_be_read_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    said = await refusal(environment | {"GATEWAY_ADMIN_TOKEN_FILE": str(file)})
    assert said == f"GATEWAY_ADMIN_TOKEN_FILE {file}: No such file or directory"
    file.write_text("\n")
    said = await refusal(environment | {"GATEWAY_ADMIN_TOKEN_FILE": str(file)})
    assert said == f"GATEWAY_ADMIN_TOKEN_FILE {file}: the file is empty"


async def test_everything_ends_with_the_gateway(environment: dict[str, str]) -> None:
    before = asyncio.all_tasks()
    async with opened(read_settings(environment, {}), environment) as (gw, _):
        assert len(asyncio.all_tasks() - before) > 0
        ledger = gw.ledger
    assert asyncio.all_tasks() == before
    assert not ledger.healthy
