"""The storage host: signed uploads, public reads, and the artifacts of finished jobs."""

import re
from typing import Any
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.simulator.media import build
from gateway.simulator.signing import StorageError, Upload
from gateway.simulator.simulation import Simulation

RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Files:
    """The endpoints. Reads need no credentials and carry no CORS headers, as in production."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def routes(self) -> list[Route]:
        """Uploads under /storage, artifacts under /artifacts."""
        return [
            Route("/storage/{path:path}", self.put_object, methods=["PUT"]),
            Route("/storage/{path:path}", self.get_object, methods=["GET"]),
            Route("/artifacts/{organization}/{request_id}/{name}", self.get_artifact, methods=["GET"]),
        ]

    async def put_object(self, request: Request) -> Response:
        """Keep the body if the URL was signed for exactly this path, host and content type."""
        self.simulation.journal.name(request.state.entry, "put_object")
        if "authorization" in request.headers:
            raise StorageError(400, "InvalidArgument", "Only one authentication mechanism is allowed.")
        upload = Upload(
            host=request.headers.get("host", ""),
            path=_raw(request, "raw_path"),
            content_type=request.headers.get("content-type", ""),
        )
        self.simulation.storage.check(upload, _raw(request, "query_string"), self.simulation.clock())
        self.simulation.storage.put(upload, await request.body())
        return Response()

    async def get_object(self, request: Request) -> Response:
        """An uploaded file, whole or in part."""
        self.simulation.journal.name(request.state.entry, "get_object")
        file = self.simulation.storage.get(_raw(request, "raw_path"))
        return send_bytes(request, file.content_type, file.data)

    async def get_artifact(self, request: Request) -> Response:
        """A finished job's file, whole or in part."""
        self.simulation.journal.name(request.state.entry, "get_artifact")
        name = request.path_params["name"]
        job = self.simulation.jobs.get(request.path_params["organization"], request.path_params["request_id"])
        if job is None or name not in job.artifact_names(self.simulation.clock()):
            raise StorageError(404, "NoSuchKey", "The specified key does not exist.")
        return send_bytes(request, *build(name, job.tint))


def send_bytes(request: Request, content_type: str, data: bytes) -> Response:
    """200, or 206 for one satisfiable range, or 416 for an unsatisfiable one (RFC 9110 section 14).

    Several ranges, or a field that cannot be read, are answered whole, as the RFC allows.
    """
    size = len(data)
    span = _span(request.headers.get("range", ""), size)
    if span is None:
        return Response(data, headers={"Accept-Ranges": "bytes"}, media_type=content_type)
    if not span:
        error = StorageError(416, "InvalidRange", "The requested range cannot be satisfied.")
        return xml_error(request, error, {"Content-Range": f"bytes */{size}"})
    headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {span.start}-{span.stop - 1}/{size}"}
    return Response(data[span.start : span.stop], 206, headers=headers, media_type=content_type)


def _span(field: str, size: int) -> range | None:
    """The bytes a Range field asks for, empty if there are none; None if it is to be ignored."""
    asked = RANGE.fullmatch(field)
    if asked is None or field == "bytes=-":
        return None
    first, last = asked.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)


def xml_error(_request: Request, error: Any, headers: dict[str, str] | None = None) -> Response:
    """A StorageError as Cloud Storage writes it."""
    body = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    )
    return Response(body, error.status, headers, media_type="application/xml; charset=UTF-8")


def _raw(request: Request, part: str) -> str:
    # Signed text is compared byte for byte; latin-1 maps every byte to itself.
    text: bytes = request.scope[part]
    return text.decode("latin-1")
