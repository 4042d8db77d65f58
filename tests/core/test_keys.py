import hashlib
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keys import RANDOM_BYTES, digest, make_key

secrets = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
KEY = make_key(bytes(range(RANDOM_BYTES)))
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def is_well_formed(text: str) -> bool:
    """Whether the text is a key by form and checksum, as a scanner tells that looks for lost ones."""
    if not re.fullmatch("gmigw_[0-9A-Za-z]{46}", text):
        return False
    checksum = 0
    for digit in text[-6:]:
        checksum = 62 * checksum + DIGITS.index(digit)
    return checksum == zlib.crc32(text[:-6].encode())


@given(secrets)
def test_a_key_has_the_promised_form(random_bytes: bytes) -> None:
    assert is_well_formed(make_key(random_bytes))


def test_keys_do_not_change_between_versions() -> None:
    assert make_key(bytes(RANDOM_BYTES)) == "gmigw_" + "0" * 40 + "244qAv"


@given(secrets, secrets)
def test_other_randomness_is_another_key(one: bytes, other: bytes) -> None:
    assert (make_key(one) == make_key(other)) == (one == other)


@pytest.mark.parametrize("position", range(6, 52))
def test_au2_one_character_changed_is_no_key(position: int) -> None:
    other = "x" if KEY[position] != "x" else "y"
    assert not is_well_formed(KEY[:position] + other + KEY[position + 1 :])


@pytest.mark.parametrize("count", [0, RANDOM_BYTES - 1, RANDOM_BYTES + 1])
def test_a_key_is_made_of_all_its_randomness(count: int) -> None:
    with pytest.raises(ValueError, match="a key is made of 48 random bytes"):
        make_key(bytes(count))


def test_a_digest_is_the_sha_256_of_the_whole_key() -> None:
    assert digest(KEY) == hashlib.sha256(KEY.encode()).hexdigest()
