"""Jobs as upstream keeps them: bounded in number and bytes, listed newest first, private to an organisation."""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.simulator.models import Model, Shape
from gateway.simulator.outcomes import outcome_of
from gateway.simulator.timeline import TERMINAL, Step, plan, step_at

USER_ID = "simulated-user"


@dataclass(frozen=True)
class Draft:
    """A create as it was asked for; `size` is its body's length in bytes."""

    model: Model
    payload: dict[str, Any]
    size: int


@dataclass
class Job:
    """One job. Its status is never stored: it follows from the clock and the steps planned at its creation."""

    request_id: str
    organization: str
    draft: Draft
    created_at: float
    steps: tuple[Step, ...]
    shape: Shape
    cancelled: Step | None = None

    @property
    def ends_at(self) -> float:
        """When the job is done, in unix seconds; infinite if it never is."""
        return self.steps[-1].at

    def step(self, now: float) -> Step:
        """The step the job has reached."""
        return self.cancelled or step_at(self.steps, now)

    def cancel(self, now: float) -> None:
        """End a live job here and now; an ended one stays as it is."""
        if self.step(now).status not in TERMINAL:
            self.cancelled = Step(now, "cancelled")

    def short_record(self, now: float) -> dict[str, Any]:
        """What the create of an async model answers."""
        step = self.step(now)
        return {
            "request_id": self.request_id,
            "model": self.draft.model.id,
            "status": step.status,
            **self._times(step),
        }

    def full_record(self, now: float, base_url: str) -> dict[str, Any]:
        """What a read answers, key order as on the wire; `base_url` is where the artifacts are fetched."""
        step = self.step(now)
        return {
            "request_id": self.request_id,
            "org_id": self.organization,
            "user_id": USER_ID,
            "model": self.draft.model.id,
            "status": step.status,
            "is_public": False,
            "payload": self.draft.payload if self.draft.model.echoes_payload else {},
            "outcome": self._outcome(step, base_url),
            **self._times(step),
        }

    def artifact_names(self, now: float) -> tuple[str, ...]:
        """The files there are: none before success."""
        return self.draft.model.artifacts if self.step(now).status == "success" else ()

    @property
    def tint(self) -> int:
        """The colour of this job's media, 0 to 255."""
        return uuid.UUID(self.request_id).bytes[-1]

    def _times(self, step: Step) -> dict[str, int]:
        created = int(self.created_at)
        return {"created_at": created, "updated_at": int(step.at), "queued_at": created}

    def _outcome(self, step: Step, base_url: str) -> dict[str, Any] | None:
        if step.status not in ("success", "failed"):
            return None
        folder = f"{base_url}/artifacts/{quote(self.organization, safe='')}/{self.request_id}"
        urls = [f"{folder}/{name}" for name in self.draft.model.artifacts]
        return outcome_of(self.shape, urls, self.tint)


class Jobs:
    """All jobs there are; beyond `max_jobs` or `max_bytes` of bodies the oldest is forgotten."""

    def __init__(self, max_jobs: int, max_bytes: int, speed: float, seed: int | None) -> None:
        self._jobs: dict[str, Job] = {}
        self._bytes = 0
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._speed = speed
        self._random = random.Random(seed)  # noqa: S311 - ids that must be repeatable, not secret

    def create(self, organization: str, draft: Draft, now: float) -> Job:
        """Accept a job; it runs on from here by itself."""
        model = draft.model
        steps = plan(model.course, now, model.seconds / self._speed, model.ending)
        return self._add(organization, draft, now, steps, model.shape)

    def create_failed(self, organization: str, draft: Draft, now: float) -> Job:
        """Leave the `failed` row that a refusal by the vendor behind upstream leaves in the list."""
        return self._add(organization, draft, now, (Step(now, "failed"),), Shape.ERROR_TEXT)

    def get(self, organization: str, request_id: str) -> Job | None:
        """The organisation's job of that id."""
        job = self._jobs.get(request_id)
        return job if job is not None and job.organization == organization else None

    def of(self, organization: str, model_id: str | None = None) -> Sequence[Job]:
        """The organisation's jobs, of one model or all, newest first."""
        return [
            job
            for job in reversed(self._jobs.values())
            if job.organization == organization and model_id in (None, job.draft.model.id)
        ]

    def __len__(self) -> int:
        return len(self._jobs)

    def _add(self, organization: str, draft: Draft, now: float, steps: tuple[Step, ...], shape: Shape) -> Job:
        request_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        job = Job(request_id, organization, draft, now, steps, shape)
        self._jobs[request_id] = job
        self._bytes += draft.size
        while len(self._jobs) > self._max_jobs or (self._bytes > self._max_bytes and len(self._jobs) > 1):
            oldest = self._jobs.pop(next(iter(self._jobs)))
            self._bytes -= oldest.draft.size
        return job
