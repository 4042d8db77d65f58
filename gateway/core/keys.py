"""Team keys: `gmigw_`, 40 characters of `[0-9A-Za-z]`, and 6 that check them.

The checksum lets scanners and people tell a mistyped or invented key from a real one without asking anybody. The
gateway itself knows a key by its SHA-256 alone: with 238 random bits there is nothing a slow hash would protect.
"""

import hashlib
import zlib

PREFIX = "gmigw_"
RANDOM_BYTES = 48

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 40
_CHECKSUM_LENGTH = 6


def make_key(random_bytes: bytes) -> str:
    """The key made of 48 bytes from a secure random source. Raises ValueError for any other number of bytes.

    48 bytes are 384 bits for 62^40 (238 bits) possible secrets, so no secret is likelier than another by 1 in 2^145.
    """
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes")
    secret = PREFIX + _base62(int.from_bytes(random_bytes), _SECRET_LENGTH)
    return secret + _checksum(secret)


def digest(text: str) -> str:
    """The SHA-256 of the key in hexadecimal: what policy files hold after `sha256:`."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(secret: str) -> str:
    """CRC-32 of the key so far; 62^6 values hold it whole."""
    return _base62(zlib.crc32(secret.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    """The last `length` digits of the number to base 62."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
