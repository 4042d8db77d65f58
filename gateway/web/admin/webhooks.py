"""`/api/webhooks`: what teams' receivers were told, and what they would not take."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.core.webhooks import Standing
from gateway.core.wording import rfc3339
from gateway.ledger.delivery_values import DeliveryState, Wanted
from gateway.web.admin.answers import gateway_of, json_response, read_query
from gateway.web.query import check_word, read_number

_PAGE = 50
_LARGEST_PAGE = 200
_LARGEST_OFFSET = 10_000_000


async def webhooks(request: Request) -> Response:
    """`GET /api/webhooks?team=&state=&request_id=&limit=&offset=`: deliveries, newest first, by their host alone."""
    values = read_query(request, "team", "state", "request_id", "limit", "offset")
    gw, team, state = gateway_of(request), values.get("team"), values.get("state")
    if state is not None:
        check_word("state", state, list(Standing))
    wanted = Wanted(
        team,
        None if state is None else Standing(state),
        values.get("request_id"),
        read_number(values, "limit", _PAGE, 1, _LARGEST_PAGE),
        read_number(values, "offset", 0, 0, _LARGEST_OFFSET),
    )
    found, total = await gw.ledger.outbox.page(wanted)
    if not total and team is not None:
        check_word("team", team, gw.policies.current.teams)
    more = wanted.offset + len(found) < total
    return json_response({"webhooks": [delivery_values(each) for each in found], "has_more": more, "total": total})


def delivery_values(delivery: DeliveryState) -> dict[str, Any]:
    """A delivery for programs. The URL's path and query may hold a secret of the team's and stay out."""
    return {
        "id": delivery.id,
        "kind": delivery.kind,
        "team": delivery.team,
        "request_id": delivery.request_id,
        "host": delivery.host,
        "state": delivery.standing,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "problem": delivery.problem,
        "created_at": _instant(delivery.created_at),
        "due_at": _instant(delivery.due_at),
        "next_attempt_at": _instant(delivery.next_attempt_at),
        "ended_at": _instant(delivery.ended_at),
    }


def _instant(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
