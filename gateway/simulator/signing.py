"""Presigned uploads: the V4 signing process of Google Cloud Storage, with an HMAC for the RSA signature.

The signed headers are `content-type;host`, so an upload must carry exactly the type that was signed, and the
URL must arrive byte for byte.
"""

import calendar
import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

ALGORITHM = "GOOG4-RSA-SHA256"
SIGNED_HEADERS = "content-type;host"
EXPIRES = 899
"""How long an upload URL is valid, in seconds."""

_SIGNATURE = "&X-Goog-Signature="
_ISO_BASIC = "%Y%m%dT%H%M%SZ"


class StorageError(Exception):
    """A refusal by the storage host, answered as XML with a code of Cloud Storage's XML API."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Upload:
    """What is signed: the PUT of one path on one host with one content type."""

    host: str
    path: str
    content_type: str


def sign(secret: bytes, upload: Upload, now: float) -> str:
    """The query string that allows the upload for the next 899 seconds."""
    date = time.strftime(_ISO_BASIC, time.gmtime(now))
    scope = f"{date[:8]}/auto/storage/goog4_request"
    query = urlencode(
        {
            "X-Goog-Algorithm": ALGORITHM,
            "X-Goog-Credential": f"simulator@gmi.iam.gserviceaccount.com/{scope}",
            "X-Goog-Date": date,
            "X-Goog-Expires": EXPIRES,
            "X-Goog-SignedHeaders": SIGNED_HEADERS,
        }
    )
    return f"{query}{_SIGNATURE}{_signature(secret, upload, query)}"


def verify(secret: bytes, upload: Upload, query: str, now: float) -> None:
    """Check a query string made by `sign`; StorageError says why it does not allow this upload."""
    signed, mark, signature = query.partition(_SIGNATURE)
    if not mark:
        raise StorageError(403, "AccessDenied", "Anonymous caller does not have storage.objects.create access.")
    if not upload.content_type:
        raise StorageError(400, "MalformedSecurityHeader", "Header content-type was signed but is not there.")
    expected = _signature(secret, upload, signed)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise StorageError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    date = parse_qs(signed)["X-Goog-Date"][0]
    if now > calendar.timegm(time.strptime(date, _ISO_BASIC)) + EXPIRES:
        raise StorageError(400, "ExpiredToken", "The provided token has expired.")


def _signature(secret: bytes, upload: Upload, query: str) -> str:
    canonical = "\n".join(
        (
            "PUT",
            upload.path,
            query,
            f"content-type:{upload.content_type}",
            f"host:{upload.host}",
            "",
            SIGNED_HEADERS,
            "UNSIGNED-PAYLOAD",
        )
    )
    return hmac.new(secret, canonical.encode(), hashlib.sha256).hexdigest()
