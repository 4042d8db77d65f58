"""A friendly upstream made of bytes: answers as GMI does, and keeps every request exactly as it came.

What it answers can be changed on the way: more response headers, one job's status, or any bytes at all for one path.
"""

import asyncio
import json
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote
from uuid import uuid4

from tests.scripted_upstream import Connection, Received, ScriptedUpstream, response

Q = "/api/v1/ie/requestqueue/apikey"
MODELS = ("Veo3", "Veo3-Fast", "Kling V2.1+Master", "seedream-5.0-lite")


class FakeUpstream:
    """Entered as `async with FakeUpstream() as upstream`; `url` is what a gateway is pointed at."""

    def __init__(self) -> None:
        self._server = ScriptedUpstream(self._serve)
        self.models = list(MODELS)
        self.details: dict[str, dict[str, Any]] = {}
        """By model: fields of its detail that differ from the usual ones."""
        self.jobs: dict[str, dict[str, Any]] = {}
        """By request id: the full record."""
        self.headers: list[str] = []
        """Lines added to every response."""
        self.answers: dict[tuple[str, str], bytes] = {}
        """By method and target: a whole response to give instead."""
        self.hung: set[str] = set()
        """Targets that are never answered."""
        self.held: dict[str, asyncio.Event] = {}
        """Targets whose answer, as it is when they are asked for, comes when the event is set."""
        self.go = asyncio.Event()
        """Clear it to hold every answer to a create back."""
        self.go.set()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def received(self) -> list[Received]:
        """Every request so far."""
        return self._server.requests

    def calls(self, method: str, target: str) -> list[Received]:
        """The requests with this method and target."""
        return [each for each in self.received if (each.method, each.target) == (method, target)]

    @property
    def creates(self) -> list[Received]:
        """What would have been paid for."""
        return self.calls("POST", f"{Q}/requests")

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, trace)

    async def _serve(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            answer = self._answer(request)
            if request.method == "POST":
                await self.go.wait()
            if request.target in self.hung:
                await asyncio.Event().wait()
            if request.target in self.held:
                await self.held[request.target].wait()
            await connection.send(answer)

    def _answer(self, request: Received) -> bytes:
        prepared = self.answers.get((request.method, request.target))
        if prepared is not None:
            return prepared
        value = self._result(request)
        if value is None:
            return self._json({"error": "not found"}, "404 Not Found")
        return self._json(value)

    def _result(self, request: Received) -> dict[str, Any] | None:
        path = request.target.partition("?")[0]
        result: dict[str, Any] | None = None
        match [request.method, *path.removeprefix(f"{Q}/").split("/")]:
            case ["GET", "models"]:
                result = {"model_ids": self.models, "object": "list"}
            case ["GET", "models", model]:
                result = self._detail(unquote(model))
            case ["POST", "requests"]:
                result = self._create(json.loads(request.body))
            case ["GET", "requests"]:
                result = {"requests": list(self.jobs.values()), "has_more": False, "total": len(self.jobs)}
            case ["GET" | "DELETE", "requests", request_id]:
                result = self.jobs.get(request_id)
            case ["POST", "upload-url"]:
                url = f"https://storage.googleapis.com/bucket/{uuid4()}"
                result = {"upload_url": f"{url}?X-Goog-Signature=canary", "public_url": url}
        return result

    def _detail(self, model: str) -> dict[str, Any]:
        usual = {"model": model, "parameters": [], "price_info": {"price": 100_000, "unit": "request"}}
        return usual | self.details.get(model, {})

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        now = int(time.time())  # noqa: TID251 - a stand-in for another machine's clock
        request_id = str(uuid4())
        head = {"request_id": request_id, "model": body["model"], "status": "queued"}
        self.jobs[request_id] = {
            **head,
            "payload": body["payload"],
            "outcome": None,
            "created_at": now,
            "updated_at": now,
            "queued_at": now,
        }
        return {**head, "created_at": now, "updated_at": now, "queued_at": now}

    def _json(self, value: object, status: str = "200 OK") -> bytes:
        return response(json.dumps(value, separators=(",", ":")).encode(), status, *self.headers)
