"""Every path of the public listener."""

import re

from gateway.core.policy import Scope
from gateway.relay import UPLOADS_PATH
from gateway.upstream.request import PREFIX
from gateway.web import artifacts, events, files, jobs, models, relay, usage
from gateway.web.document import with_document
from gateway.web.pages import page_routes
from gateway.web.routes import Method, Route, RouteTable, with_head

_REQUEST_ID = re.compile(rb"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_MODEL_ID = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2}){1,512}")
_ANY_PART = re.compile(rb"[^/]*")
"""Taken for a token, whatever it looks like: one that is malformed is answered no otherwise than one that is wrong."""


def public_routes() -> RouteTable:
    """GMI's own calls, the gateway's own, and what needs no key."""
    return with_document(
        (
            Route("/models", f"{PREFIX}/models", with_head({"GET": Method(models.list_models, Scope.MODELS)})),
            Route(
                "/models/{id}",
                f"{PREFIX}/models/",
                with_head({"GET": Method(models.get_model, Scope.MODELS)}),
                _MODEL_ID,
            ),
            Route(
                "/requests",
                f"{PREFIX}/requests",
                with_head({"GET": Method(jobs.list_own, Scope.JOBS_READ), "POST": Method(jobs.create, Scope.JOBS)}),
            ),
            Route(
                "/requests/{id}",
                f"{PREFIX}/requests/",
                with_head({"GET": Method(jobs.poll, Scope.JOBS_READ), "DELETE": Method(jobs.delete, Scope.JOBS)}),
                _REQUEST_ID,
            ),
            Route("/upload-url", f"{PREFIX}/upload-url", {"POST": Method(files.upload_url, Scope.UPLOADS)}),
            Route(
                "/gateway/v1/requests/{id}/events",
                "/gateway/v1/requests/",
                with_head({"GET": Method(events.stream, Scope.JOBS_READ)}),
                _REQUEST_ID,
                "/events",
            ),
            Route(
                "/gateway/v1/requests/{id}/artifacts",
                "/gateway/v1/requests/",
                with_head({"GET": Method(artifacts.list_artifacts, Scope.JOBS_READ)}),
                _REQUEST_ID,
                "/artifacts",
            ),
            Route(
                "/gateway/v1/requests/{id}/artifacts/{name}",
                "/gateway/v1/requests/",
                with_head({"GET": Method(artifacts.get_artifact, Scope.JOBS_READ)}),
                _REQUEST_ID,
                "/artifacts/{name}",
            ),
            Route(
                "/gateway/v1/uploads/{token}",
                UPLOADS_PATH,
                {"PUT": Method(relay.put_upload, Scope.UPLOADS)},
                _ANY_PART,
                admit=relay.admit_upload,
            ),
            Route("/gateway/v1/usage", "/gateway/v1/usage", with_head({"GET": Method(usage.usage, None)})),
            Route("/gateway/v1/explain", "/gateway/v1/explain", {"POST": Method(usage.explain, Scope.JOBS)}),
            *page_routes(),
        )
    )
