"""Keys are looked up, not compared; addresses are slowed down, never shut out."""

import gc
import random
import weakref
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.core.errors import Code, Refusal
from gateway.core.policy import Team
from gateway.settings import Network
from gateway.web.auth import Doorkeeper, client_address, identify, identify_once
from tests.conftest import digest
from tests.policy_texts import policy

POLICY = policy(f"team: a\nmodels: {{allow: [Veo3]}}\nkeys: [{{name: main, hash: {digest('secret')}}}]\n")


def identified(*values: bytes) -> str:
    return identify(POLICY, list(values)).key.name


@pytest.mark.parametrize("value", [b"Bearer secret", b"bearer secret", b"BEARER  secret ", b" Bearer secret"])
def test_a_key_is_found_by_its_digest(value: bytes) -> None:
    assert identified(value) == "main"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([], Code.KEY_MISSING),
        ([b""], Code.KEY_INVALID),
        ([b"Bearer"], Code.KEY_INVALID),
        ([b"Basic secret"], Code.KEY_INVALID),
        ([b"secret"], Code.KEY_INVALID),
        ([b"Bearer Secret"], Code.KEY_INVALID),
        ([b"Bearer secret secret"], Code.KEY_INVALID),
        ([b"Bearer " + b"s" * 513], Code.KEY_INVALID),
        ([b"Bearer secret", b"Bearer secret"], Code.INVALID_REQUEST),
        ([b"Bearer secret, Bearer secret"], Code.INVALID_REQUEST),
    ],
)
def test_anything_else_is_no_key(values: list[bytes], code: Code) -> None:
    with pytest.raises(Refusal) as refusal:
        identified(*values)
    assert refusal.value.code is code
    assert "secret" not in refusal.value.message


def test_a_caller_is_looked_for_once_under_each_policy() -> None:
    notes: dict[str, Any] = {}
    asked: list[bytes] = []

    def values(name: bytes) -> list[bytes]:
        asked.append(name)
        return [b"Bearer secret"]

    first = identify_once(POLICY, notes, values)
    assert first is identify_once(POLICY, notes, values) is identify(POLICY, [b"Bearer secret"])
    assert asked == [b"authorization"]
    with pytest.raises(Refusal):
        identify_once(policy("team: a\nmodels: {allow: [Veo3]}\nkeys: []\n"), notes, values)
    assert asked == [b"authorization"] * 2


def test_a_note_keeps_no_policy_alive() -> None:
    notes: dict[str, Any] = {}
    former = policy(f"team: a\nmodels: {{allow: [Veo3]}}\nkeys: [{{name: main, hash: {digest('secret')}}}]\n")
    caller = identify_once(former, notes, lambda _: [b"Bearer secret"])
    policy_gone, caller_gone, team_gone = weakref.ref(former), weakref.ref(caller), id(caller.team)
    del former, caller
    gc.collect()
    assert policy_gone() is None
    assert caller_gone() is None
    assert not any(id(each) == team_gone for each in gc.get_objects() if isinstance(each, Team))
    assert identify_once(POLICY, notes, lambda _: [b"Bearer secret"]) is identify(POLICY, [b"Bearer secret"])


def test_nobody_is_noted_by_a_key_that_is_none() -> None:
    notes: dict[str, Any] = {}
    with pytest.raises(Refusal):
        identify_once(POLICY, notes, lambda _: [b"Bearer other"])
    assert notes == {}


def test_au3_ten_thousand_random_keys_open_nothing() -> None:
    dice = random.Random(3)
    for _ in range(10_000):
        with pytest.raises(Refusal):
            identified(b"Bearer " + dice.randbytes(dice.randrange(64)))


def test_au7_an_address_is_slowed_down_until_the_minute_ends() -> None:
    doorkeeper = Doorkeeper()
    for _ in range(120):
        doorkeeper.note_bad_key("192.0.2.1", 90.0)
    with pytest.raises(Refusal) as refusal:
        doorkeeper.note_bad_key("192.0.2.1", 90.0)
    assert (refusal.value.code, refusal.value.retry_after) == (Code.RATE_LIMITED, 31)
    doorkeeper.note_bad_key("192.0.2.2", 90.0)
    doorkeeper.note_bad_key("192.0.2.1", 120.0)


def test_au7_the_table_of_addresses_is_bounded() -> None:
    doorkeeper = Doorkeeper()
    for number in range(20_000):
        doorkeeper.note_bad_key(f"address-{number}", 0.0)
    assert len(doorkeeper._bad) == 10_000


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("192.0.2.1", [b"198.51.100.7"], (), "192.0.2.1"),
        ("192.0.2.1", [b"198.51.100.7"], networks("10.0.0.0/8"), "192.0.2.1"),
        ("10.0.0.1", [b"198.51.100.7"], networks("10.0.0.0/8"), "198.51.100.7"),
        ("10.0.0.1", [b"6.6.6.6, 198.51.100.7, 10.0.0.2"], networks("10.0.0.0/8"), "198.51.100.7"),
        ("10.0.0.1", [b"6.6.6.6", b"198.51.100.7,10.0.0.2"], networks("10.0.0.0/8"), "198.51.100.7"),
        ("10.0.0.1", [b"198.51.100.7, unknown"], networks("10.0.0.0/8"), "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.7, _hidden, 10.0.0.2"], networks("10.0.0.0/8"), "10.0.0.2"),
        ("10.0.0.1", [], networks("10.0.0.0/8"), "10.0.0.1"),
        ("fd00::1", [b"2001:db8::7"], networks("fd00::/8"), "2001:db8::7"),
        ("::1", [b"10.0.0.2"], networks("::1/128", "10.0.0.0/8"), "10.0.0.2"),
    ],
)
def test_hd7_the_right_most_untrusted_hop(
    peer: str, forwarded: list[bytes], trusted: tuple[Network, ...], address: str
) -> None:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    assert client_address({"client": (peer, 1), "headers": headers}, trusted) == address


def test_a_peer_without_an_address_has_none() -> None:
    assert client_address({"client": None, "headers": []}, networks("10.0.0.0/8")) == ""
