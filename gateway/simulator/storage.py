"""Uploaded files: kept in memory, bounded in bytes, the oldest dropped first."""

import secrets
import uuid
from dataclasses import dataclass
from urllib.parse import quote

from gateway.simulator.signing import StorageError, Upload, sign, verify

FILE_TYPES = {
    "jpeg": "image/jpeg",
    "jpg": "image/jpg",  # not a registered type, but the one upstream signs
    "png": "image/png",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}


@dataclass(frozen=True)
class StoredFile:
    """One uploaded file."""

    content_type: str
    data: bytes


class Storage:
    """The bucket behind `upload-url`, with the secret its upload URLs are signed with."""

    def __init__(self, max_bytes: int) -> None:
        self._files: dict[str, StoredFile] = {}
        self._bytes = 0
        self._max_bytes = max_bytes
        self._secret = secrets.token_bytes(32)

    def presign(self, host: str, organization: str, file_type: str, now: float) -> tuple[str, str]:
        """Path of a new file and the query that allows its upload; KeyError: no such file type."""
        content_type = FILE_TYPES[file_type]
        path = f"/storage/gmi-uploads/{quote(organization, safe='')}/{uuid.uuid4()}.{file_type}"
        return path, sign(self._secret, Upload(host, path, content_type), now)

    def check(self, upload: Upload, query: str, now: float) -> None:
        """StorageError unless the query allows this upload."""
        verify(self._secret, upload, query, now)

    def put(self, upload: Upload, data: bytes) -> None:
        """Keep a file, in place of an older one at its path."""
        if len(data) > self._max_bytes:
            raise StorageError(400, "EntityTooLarge", "Your proposed upload is larger than the maximum size.")
        self._drop(upload.path)
        self._files[upload.path] = StoredFile(upload.content_type, data)
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._files)))

    def get(self, path: str) -> StoredFile:
        """The file at this path; StorageError if there is none."""
        file = self._files.get(path)
        if file is None:
            raise StorageError(404, "NoSuchKey", "The specified key does not exist.")
        return file

    def _drop(self, path: str) -> None:
        file = self._files.pop(path, None)
        if file is not None:
            self._bytes -= len(file.data)
