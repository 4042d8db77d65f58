"""The pages of the admin listener, for people: dashboard, team, jobs, explain, and the files they are made with."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway import catalogue
from gateway.context import Gateway
from gateway.core.decide import Decision, Verdict, decide, describe_limits
from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller, Key, Team
from gateway.core.wire import compose_create
from gateway.ledger.jobs import COUNTED
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.overview import shown_jobs
from gateway.web.admin.answers import as_response, gateway_of, read_query
from gateway.web.admin.figures import Figures
from gateway.web.admin.health import policies_state
from gateway.web.admin.jobs import FILTERS, read_wanted
from gateway.web.admin.overview import overview
from gateway.web.admin.page import page
from gateway.web.admin.session import COOKIE, read_form
from gateway.web.admin.team_view import team_view
from gateway.web.pages import file_reply, read_file

FILES = ("page.css", "page.js", "live.js")
SIGNS: Mapping[Verdict, str] = {Verdict.PASS: "✓", Verdict.REFUSE: "✗", Verdict.SHADOW: "~", Verdict.SKIP: "-"}

_PAGE = 50
_NOBODYS_KEY = Key("any", "")
"""Stands in where a team has no key yet."""

Endpoint = Callable[["Pages", Request], Awaitable[Response]]


def _shown(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with what it refuses shown as a page, too."""

    @wraps(endpoint)
    async def shown(pages: "Pages", request: Request) -> Response:
        try:
            return await endpoint(pages, request)
        except Refusal as refusal:
            return await _notice(request, refusal.status, "That is not possible", refusal.message)
        except LedgerUnavailable:
            message = "The ledger does not answer. This page comes back by itself when it does."
            return await _notice(request, 503, "The ledger is unavailable", message)

    return shown


class Pages:
    """The pages of one gateway; each method is one of them."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._figures = Figures(gw)

    @_shown
    async def dashboard(self, request: Request) -> Response:
        """`GET /`."""
        read_query(request)
        gw = self._gw
        view = await overview(gw, self._figures)
        values = {"view": view, "policies": policies_state(gw), "loaded_at": gw.policies.last_reload_at, "signs": SIGNS}
        return await page("overview.html", self._about(request) | values)

    @_shown
    async def team(self, request: Request) -> Response:
        """`GET /teams/{team}`."""
        read_query(request)
        team = self._gw.policies.current.teams.get(request.path_params["team"])
        if team is None:
            message = "The policies name no such team; it may have been removed."
            return await _notice(request, 404, "No such team", message)
        view = await team_view(self._gw, self._figures, team)
        return await page("team.html", self._about(request) | {"view": view, "signs": SIGNS})

    @_shown
    async def jobs(self, request: Request) -> Response:
        """`GET /jobs?team=&model=&status=&offset=`. An empty field of the form filters nothing."""
        values = {name: value for name, value in request.query_params.items() if value}
        wanted = read_wanted(values, _PAGE)
        offset = wanted.offset
        found, total = await self._gw.ledger.survey(shown_jobs, wanted)
        shown = {name: values.get(name, "") for name in ("team", "model", "status")}
        return await page(
            "jobs.html",
            self._about(request)
            | {
                "now": self._gw.now(),
                "jobs": found,
                "total": total,
                "uncounted": total >= offset + _PAGE + COUNTED,
                "offset": offset,
                "filters": shown,
                "statuses": FILTERS,
                "newer": _link(shown, offset - _PAGE) if offset else None,
                "older": _link(shown, offset + _PAGE) if offset + len(found) < total else None,
            },
        )

    @_shown
    async def explain(self, request: Request) -> Response:
        """`GET /explain` is the form, `POST /explain` the form with what would come of it. Nothing is charged."""
        fields = {"team": request.query_params.get("team", ""), "key": "", "model": "", "payload": "{\n  \n}"}
        told: dict[str, Any] = {"decision": None, "caller": None, "problem": None}
        if request.method == "POST":
            fields |= await read_form(request)
            try:
                caller = self._find_caller(fields)
                told |= {"caller": caller, "decision": await self._decide(caller, fields)}
            except Refusal as refusal:
                told["problem"] = refusal.message
        values = {"fields": fields, "signs": SIGNS, "keys": self._keys()}
        return await page("explain.html", self._about(request) | values | told)

    async def file(self, request: Request) -> Response:
        """`GET /files/{name}`: the style and scripts of the pages."""
        name = request.path_params["name"]
        if name not in FILES:
            raise Refusal(Code.UNKNOWN_ROUTE, f"There is no such file; there are {', '.join(FILES)}.")
        known = [value.encode("latin-1") for value in request.headers.getlist("if-none-match")]
        return as_response(file_reply(read_file(name), known))

    def _about(self, request: Request) -> dict[str, Any]:
        """What every page shows around its own."""
        return {"teams": sorted(self._gw.policies.current.teams), "signed_in": COOKIE in request.cookies}

    def _keys(self) -> dict[str, list[str]]:
        return {team.name: [key.name for key in team.keys] for team in self._gw.policies.current.teams.values()}

    def _find_caller(self, fields: Mapping[str, str]) -> Caller:
        """The team by the key that is named, else by its first. Raises Refusal."""
        team = self._gw.policies.current.teams.get(fields["team"])
        if team is None:
            raise Refusal(Code.INVALID_REQUEST, "Choose one of the teams.")
        if not fields["key"]:
            return Caller(team, team.keys[0] if team.keys else _NOBODYS_KEY)
        return Caller(team, _key_of(team, fields["key"]))

    async def _decide(self, caller: Caller, fields: Mapping[str, str]) -> Decision:
        """The decision a create would get now. Raises Refusal for what is no payload."""
        gw, draft = self._gw, compose_create(fields["model"], fields["payload"])
        detail = await catalogue.detail_for_decision(gw, caller, draft.model)
        now = gw.now()
        decision = decide(gw.policies.current, caller, draft, detail, now)
        used = await gw.ledger.used([claim.counter for claim in decision.claims])
        return describe_limits(decision, caller, used, now)


def _key_of(team: Team, name: str) -> Key:
    for key in team.keys:
        if key.name == name:
            return key
    raise Refusal(Code.INVALID_REQUEST, f"Team {team.name} has no key of this name.")


def _link(filters: Mapping[str, str], offset: int) -> str:
    kept = {name: value for name, value in filters.items() if value}
    return f"/jobs?{urlencode(kept | {'offset': str(max(0, offset))})}"


async def _notice(request: Request, status: int, title: str, message: str) -> Response:
    gw = gateway_of(request)
    teams = sorted(gw.policies.current.teams)
    values = {"title": title, "message": message, "teams": teams, "signed_in": COOKIE in request.cookies}
    return await page("notice.html", values, status)
