"""The request queue: the seven operations of the API under `/api/v1/ie/requestqueue/apikey`."""

import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.simulator.answers import ERRORS, JsonAnswer, Refusal, failure
from gateway.simulator.catalogue import CATALOGUE
from gateway.simulator.faults import LOST_ANSWERS, Kind
from gateway.simulator.jobs import Draft, Job
from gateway.simulator.models import Model
from gateway.simulator.outcomes import REFUSED
from gateway.simulator.simulation import Simulation, address_url
from gateway.simulator.storage import FILE_TYPES

PREFIX = "/api/v1/ie/requestqueue/apikey"
DEFAULT_LIMIT = 20
_ANY_KEY = re.compile(r"Bearer [\x21-\x7e]+")
_ANY_ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Operation = Callable[[Request, str], Awaitable[Response]]


class Queue:
    """The endpoints. Each takes the request and the organisation it speaks for."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def routes(self) -> list[Route]:
        """Every operation at its method and path."""
        operations: list[tuple[str, str, Operation]] = [
            ("GET", "/models", self.list_models),
            ("GET", "/models/{model_id}", self.get_model),
            ("POST", "/requests", self.create_request),
            ("GET", "/requests", self.list_requests),
            ("GET", "/requests/{request_id}", self.get_request),
            ("DELETE", "/requests/{request_id}", self.delete_request),
            ("POST", "/upload-url", self.upload_url),
        ]
        return [
            Route(PREFIX + path, self._guard(operation), methods=[method]) for method, path, operation in operations
        ]

    def base_url(self, request: Request) -> str:
        """Where clients reach this simulator: what it was told, else the address this request came to."""
        return self.simulation.settings.origin or address_url(*request.scope["server"])

    async def list_models(self, _request: Request, _organization: str) -> Response:
        """All model ids."""
        return JsonAnswer({"model_ids": list(CATALOGUE)})

    async def get_model(self, request: Request, _organization: str) -> Response:
        """One model's detail; 404 for an unknown id."""
        return JsonAnswer(_model(request.path_params["model_id"]).detail())

    async def create_request(self, request: Request, organization: str) -> Response:
        """Accept a job. A sync model keeps the caller waiting and answers the finished record."""
        draft = _draft(await request.body())
        job = self.simulation.jobs.create(organization, draft, self.simulation.clock())
        if draft.model.course != "inline":
            return JsonAnswer(job.short_record(job.created_at))  # a short record of an end would lack what came out
        await self.simulation.pause(job.ends_at - job.created_at)
        if draft.model.ending == "failed":
            raise Refusal(400, REFUSED, request_id=job.request_id)
        now = max(self.simulation.clock(), job.ends_at)
        return JsonAnswer(job.full_record(now, self.base_url(request)))

    async def list_requests(self, request: Request, organization: str) -> Response:
        """The whole organisation's jobs, newest first; `model_id`, `limit` and `offset` narrow them."""
        query = request.query_params
        limit = _number(query.get("limit", str(DEFAULT_LIMIT)), "limit")
        offset = _number(query.get("offset", "0"), "offset")
        jobs = self.simulation.jobs.of(organization, query.get("model_id"))
        page = jobs[offset : offset + limit]
        now = self.simulation.clock()
        return JsonAnswer(
            {
                "requests": [job.full_record(now, self.base_url(request)) for job in page],
                "has_more": offset + len(page) < len(jobs),
                "total": len(jobs),
            }
        )

    async def get_request(self, request: Request, organization: str) -> Response:
        """One job's full record; 404 for an unknown id."""
        job = self._job(request, organization)
        return JsonAnswer(job.full_record(self.simulation.clock(), self.base_url(request)))

    async def delete_request(self, request: Request, organization: str) -> Response:
        """Cancel a live job and answer its record; one that has ended stays as it is."""
        job = self._job(request, organization)
        now = self.simulation.clock()
        job.cancel(now)
        return JsonAnswer(job.full_record(now, self.base_url(request)))

    async def upload_url(self, request: Request, organization: str) -> Response:
        """A presigned URL for one file of the given type, and where it can be read afterwards."""
        file_type = _object(await request.body()).get("file_type")
        if not isinstance(file_type, str) or file_type not in FILE_TYPES:
            raise Refusal(400, f"file_type must be one of {', '.join(FILE_TYPES)}")
        base = self.base_url(request)
        host = base.partition("://")[2]
        path, query = self.simulation.storage.presign(host, organization, file_type, self.simulation.clock())
        return JsonAnswer({"upload_url": f"{base}{path}?{query}", "public_url": f"{base}{path}"})

    def _guard(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        """Check the credentials, then let the operation happen as well as the faults in force allow."""
        name = operation.__name__
        simulation = self.simulation

        async def endpoint(request: Request) -> Response:
            simulation.journal.name(request.state.entry, name)
            organization = self._authorize(request)
            trouble = simulation.faults.meet(name)
            if trouble.delay:
                await simulation.pause(trouble.delay)
            if trouble.failure is None or trouble.failure in LOST_ANSWERS:
                answer = await operation(request, organization)
                return answer if trouble.failure is None else failure(trouble.failure)
            if name == "create_request" and trouble.failure is not Kind.RESET_BEFORE:
                return await self._refuse_create(request, organization, trouble.failure)
            return failure(trouble.failure)

        return endpoint

    async def _refuse_create(self, request: Request, organization: str, kind: Kind) -> Response:
        draft = _draft(await request.body())
        if kind is Kind.BACKEND_ERROR:
            self.simulation.jobs.create_failed(organization, draft, self.simulation.clock())
        return failure(kind, draft.model.id)

    def _authorize(self, request: Request) -> str:
        """The organisation the request speaks for; 401 or 403 if it may not."""
        settings = self.simulation.settings
        authorization = request.headers.getlist("authorization")
        accepted = len(authorization) == 1 and (
            authorization[0] in (f"Bearer {key}" for key in settings.keys)
            or (settings.any_key and _ANY_KEY.fullmatch(authorization[0]) is not None)
        )
        request.state.entry.key_accepted = accepted
        if not accepted:
            raise Refusal(*ERRORS[Kind.UNAUTHORIZED])
        organizations = request.headers.getlist("x-organization-id") or [settings.organizations[0]]
        known = organizations[0] in settings.organizations or (
            settings.any_key and _ANY_ORGANIZATION.fullmatch(organizations[0]) is not None
        )
        if len(organizations) > 1 or not known:
            raise Refusal(*ERRORS[Kind.FORBIDDEN])
        return organizations[0]

    def _job(self, request: Request, organization: str) -> Job:
        job = self.simulation.jobs.get(organization, request.path_params["request_id"])
        if job is None:
            raise Refusal(404, "request not found")
        return job


def _model(model_id: str) -> Model:
    model = CATALOGUE.get(model_id)
    if model is None:
        raise Refusal(404, f"model {model_id} does not exist")
    return model


def _draft(body: bytes) -> Draft:
    fields = _object(body)
    model_id, payload = fields.get("model"), fields.get("payload")
    if not isinstance(model_id, str) or not isinstance(payload, dict):
        raise Refusal(400, "model (string) and payload (object) are required")
    model = _model(model_id)
    missing = model.missing(payload)
    if missing is not None:
        raise Refusal(400, f"missing required parameter: {missing}")
    return Draft(model, payload, len(body))


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Refusal(400, "invalid request body") from None
    if not isinstance(fields, dict):
        raise Refusal(400, "invalid request body")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(400, f"{name} must be a number")
    return int(text)
