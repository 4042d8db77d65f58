"""The admin listener's ASGI app: its routes, who may ask, and how its errors look."""

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.ledger.ledger import LedgerUnavailable
from gateway.web.admin import health, jobs, months, policies, session, teams, webhooks
from gateway.web.admin.answers import refusal_response, request_id_of
from gateway.web.admin.guard import Guard
from gateway.web.admin.page_routes import page_routes
from gateway.web.admin.scrape import Scrape


def admin_app(gw: Gateway) -> Starlette:
    """Everything the admin listener answers."""
    app = Starlette(
        routes=[
            *page_routes(gw),
            Route(session.PATH, session.sign_in, methods=["POST"]),
            Route(f"{session.PATH}/end", session.sign_out, methods=["POST"]),
            Route("/metrics", Scrape(gw).answer),
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
            Route("/api/teams", teams.teams),
            Route("/api/teams/{team}", teams.team),
            Route("/api/jobs", jobs.jobs),
            Route("/api/usage", months.usage),
            Route("/api/denials", jobs.denials),
            Route("/api/webhooks", webhooks.webhooks),
            Route("/api/policies", policies.policies),
            Route("/reload", policies.reload, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, gw.settings, gw.now)],
        exception_handlers={
            Refusal: _refused,
            LedgerUnavailable: _without_ledger,
            HTTPException: _not_here,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    app.state.gw = gw
    return app


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return refusal_response(refusal, request_id_of(request))


async def _without_ledger(request: Request, _: Exception) -> Response:
    refusal = Refusal(Code.LEDGER_UNAVAILABLE, "The ledger does not answer; see /readyz?verbose.", retry_after=2)
    return refusal_response(refusal, request_id_of(request))


async def _not_here(request: Request, error: Exception) -> Response:
    """What Starlette's router answers itself: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = (error.headers or {}).get("Allow", "")
        message = f"This page does not know the method {request.method}."
        refusal = Refusal(Code.METHOD_NOT_ALLOWED, message, headers=((b"allow", allow.encode()),))
    else:
        pages = ", ".join(route.path for route in request.app.routes)
        refusal = Refusal(Code.UNKNOWN_ROUTE, f"There is no such page on this listener; it has {pages}.")
    return refusal_response(refusal, request_id_of(request))


async def _failed(request: Request, _: Exception) -> Response:
    """A fault of ours. The server logs it by type and place; the caller gets the id alone."""
    refusal = Refusal(Code.INTERNAL_ERROR, "The gateway failed on this request; see its log.")
    return refusal_response(refusal, request_id_of(request))
