"""The story the demo tells: every call of GMI's API reference through the gateway, then three refusals.

What must come out follows from the sample policies: `marketing` makes films, `research` is on a short leash.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.cli.demo_calls import BrokenStoryError, Request, Response, send
from gateway.simulator.media import build
from gateway.upstream.request import PREFIX

TEAMS = ("marketing", "research")
"""The sample teams it needs."""

FILM = {"model": "Veo3-Fast", "payload": {"prompt": "A paper boat in the rain", "durationSeconds": "4"}}
FILM_USD = 0.6
"""4 s at $0.15, as `prices` in the sample policies say."""

IMAGE = {"model": "seedream-5.0-lite", "payload": {"prompt": "A paper boat, watercolour"}}
DENIED = {"model": "Veo3-Ultra", "payload": {"prompt": "A paper boat, at its best"}}
DEAR = {"model": "Veo3", "payload": {"prompt": "A paper boat at sea", "durationSeconds": "8"}}

POLL_EVERY = 1.0
"""Seconds between two polls, as in the API reference's own script."""

_MOST_POLLS = 60


@dataclass
class Story:
    """Tells the steps one by one. `keys` by team; `folder` takes the files that are sent and fetched."""

    gateway: str
    keys: Mapping[str, str] = field(repr=False)
    folder: Path
    failed: int = 0
    _steps: int = 0

    async def tell(self) -> bool:
        """Whether every step came out as told."""
        try:
            await self._browse()
            await self._make_film()
            await self._upload()
            await self._make_image()
            await self._see_usage()
            await self._be_refused()
        except BrokenStoryError as error:
            self._expect(f"{error}: the story ends here", held=False)
        return not self.failed

    async def _browse(self) -> None:
        self._title("The models this team may use")
        listing = await self._call(self._get("/models"))
        models = listing.field("model_ids")
        wanted = listing.status == 200 and "Veo3" in models and not {"Veo3-Ultra", "seedream-5.0-lite"} & set(models)
        self._expect("200, and only what marketing's policy allows", held=wanted)
        self._title("One model, as GMI describes it")
        detail = await self._call(self._get(f"/models/{FILM['model']}"))
        self._expect("200, upstream's own bytes", held=detail.field("model") == FILM["model"])

    async def _make_film(self) -> None:
        self._title("A film: the price is reserved, then the job is created")
        created = await self._call(self._create("marketing", FILM))
        self._expect("200, a job that is not done yet", held=created.status == 200)
        request_id = created.field("request_id")
        self._title("Poll each second until it is done")
        ended = await self._poll(self._get(f"/requests/{request_id}"))
        self._expect("success", held=ended.field("status") == "success")
        self._title("Fetch the film from where the outcome says")
        film = self.folder / "film.mp4"
        fetched = await self._call(Request("GET", ended.field("outcome", "video_url"), save_as=str(film)))
        whole = fetched.content_type == "video/mp4" and fetched.body[4:8] == b"ftyp"
        self._expect(f"an MP4 file of {len(fetched.body)} bytes", held=fetched.status == 200 and whole)

    async def _upload(self) -> None:
        content_type, data = build("image.png", 0)
        photo = self.folder / "photo.png"
        photo.write_bytes(data)
        self._title("Ask for an upload URL")
        slot = await self._call(self._post("marketing", f"{PREFIX}/upload-url", {"file_type": "png"}))
        self._expect("200, a signed URL", held=slot.status == 200)
        self._title("Upload a picture to it, straight to the storage host")
        stored = await self._call(
            Request("PUT", slot.field("upload_url"), body=data, content_type=content_type, file=str(photo))
        )
        self._expect("200", held=stored.status == 200)
        self._title("Read it back")
        back = await self._call(Request("GET", slot.field("public_url"), save_as=str(self.folder / "back.png")))
        self._expect("the same bytes", held=back.body == data)

    async def _make_image(self) -> None:
        self._title("An image, for another team: a model that answers within the call")
        made = await self._call(self._create("research", IMAGE))
        self._expect("200, finished at once", held=made.status == 200 and made.field("status") == "success")

    async def _see_usage(self) -> None:
        self._title("What marketing has used")
        usage = await self._call(replace(self._get(""), url=f"{self.gateway}/gateway/v1/usage"))
        month = usage.field("month")
        exact = usage.status == 200 and (month["jobs"], month["usd"]) == (1, FILM_USD)
        self._expect(f"1 job, ${FILM_USD:.2f}", held=exact)

    async def _be_refused(self) -> None:
        self._title("Refused: marketing may not use this model")
        await self._refusal(self._create("marketing", DENIED), 403, "model_not_allowed")
        self._title("Refused: research has no money for this film")
        await self._refusal(self._create("research", DEAR), 402, "budget_exceeded")
        self._title("Research's second image today, the last that its quota allows")
        second = await self._call(self._create("research", IMAGE))
        self._expect("200", held=second.status == 200)
        self._title("Refused: a third one")
        await self._refusal(self._create("research", IMAGE), 429, "quota_exceeded")

    async def _refusal(self, request: Request, status: int, code: str) -> None:
        answer = await self._call(request)
        self._expect(f"{status} {code}", held=(answer.status, answer.field("code")) == (status, code))

    async def _poll(self, request: Request) -> Response:
        """Ask each second until the status is a last one, showing the first call and each new status."""
        print(f"   $ {request.curl()}")
        seen = ""
        for _ in range(_MOST_POLLS):
            answer = await asyncio.to_thread(send, request)
            status = answer.field("status")
            if status != seen:
                print(f"   {answer.status} status: {status}", flush=True)
                seen = status
            if status in ("success", "failed", "cancelled"):
                return answer
            await asyncio.sleep(POLL_EVERY)
        raise BrokenStoryError(f"the job is still {seen} after {_MOST_POLLS} polls")

    async def _call(self, request: Request) -> Response:
        print(f"   $ {request.curl()}", flush=True)
        answer = await asyncio.to_thread(send, request)
        print(f"   {answer.shown()}")
        return answer

    def _get(self, path: str) -> Request:
        return Request("GET", f"{self.gateway}{PREFIX}{path}", self.keys["marketing"])

    def _create(self, team: str, job: Mapping[str, Any]) -> Request:
        return self._post(team, f"{PREFIX}/requests", job)

    def _post(self, team: str, path: str, value: Mapping[str, Any]) -> Request:
        body = json.dumps(value).encode()
        return Request("POST", self.gateway + path, self.keys[team], body, "application/json")

    def _title(self, text: str) -> None:
        self._steps += 1
        print(f"\n{self._steps}. {text}")

    def _expect(self, text: str, *, held: bool) -> None:
        self.failed += not held
        print(f"   {'✓' if held else '✗'} {text}", flush=True)
