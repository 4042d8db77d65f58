"""`/healthz`: the process answers. `/readyz`: clients may be sent here."""

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gateway import __version__
from gateway.context import Gateway
from gateway.core.wording import rfc3339
from gateway.web.admin.answers import gateway_of, json_response


async def healthz(request: Request) -> Response:
    """`ok`, whatever else is wrong: restarting the process would not mend that."""
    del request
    return PlainTextResponse("ok\n", headers={"cache-control": "no-store"})


async def readyz(request: Request) -> Response:
    """200 or 503. `?verbose` says why, with the policies' problems.

    Upstream is left out on purpose: while it is down, the gateway still serves what it knows, and a restart elsewhere
    would not bring it back. Policies are always valid here: the gateway does not listen without, and a bad reload
    keeps the last good ones.
    """
    gw = gateway_of(request)
    missing = [name for name, well in checks(gw).items() if not well]
    status = 503 if missing else 200
    if "verbose" in request.query_params:
        return json_response(_verbose(gw, ready=not missing), status)
    text = f"not ready: {', '.join(missing)}\n" if missing else "ready\n"
    return PlainTextResponse(text, status, headers={"cache-control": "no-store"})


def checks(gw: Gateway) -> dict[str, bool]:
    """What must hold for the gateway to be ready."""
    return {"accepting": not gw.draining.is_set(), "ledger": gw.ledger.healthy}


def _verbose(gw: Gateway, *, ready: bool) -> dict[str, Any]:
    return {"ready": ready, "version": __version__, "checks": checks(gw), "policies": policies_state(gw)}


def policies_state(gw: Gateway) -> dict[str, Any]:
    """Which policies are in force since when, and what the files as last read are warned of or refused for."""
    policies = gw.policies
    return {
        "version": policies.version,
        "loaded_at": rfc3339(policies.last_reload_at),
        "last_reload_successful": policies.last_reload_ok,
        "problems": [str(problem) for problem in policies.problems],
    }
