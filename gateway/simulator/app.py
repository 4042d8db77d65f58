"""The simulator's ASGI app: every route, and the form of every error."""

from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from gateway.simulator.answers import JsonAnswer, Refusal
from gateway.simulator.control import Control
from gateway.simulator.files import Files, xml_error
from gateway.simulator.journal import RecordRequests
from gateway.simulator.queue import Queue
from gateway.simulator.signing import StorageError
from gateway.simulator.simulation import Simulation


def create_app(simulation: Simulation) -> Starlette:
    """The app over one simulation; it must be served by `Simulator`, whose protocol can reset connections."""
    app = Starlette(
        routes=[
            *Queue(simulation).routes(),
            *Files(simulation).routes(),
            *Control(simulation).routes(),
        ],
        middleware=[Middleware(RecordRequests, journal=simulation.journal)],
        exception_handlers={
            Refusal: answer_refusal,
            HTTPException: answer_http_exception,
            StorageError: xml_error,
        },
        max_body_size=simulation.settings.max_body_bytes,
    )
    app.router.redirect_slashes = False
    return app


def answer_refusal(_request: Request, refusal: Any) -> Response:
    """A Refusal as upstream writes errors."""
    return JsonAnswer(refusal.body, refusal.status)


def answer_http_exception(_request: Request, error: Any) -> Response:
    """An unknown path or method in the same form."""
    return JsonAnswer({"error": error.detail}, error.status_code, headers=error.headers)
