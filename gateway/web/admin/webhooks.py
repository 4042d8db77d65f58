"""`/api/webhooks`: what teams' receivers were told, and what they would not take."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.core.webhooks import Standing
from gateway.ledger.delivery_values import Wanted
from gateway.web.admin.answers import gateway_of, json_response, read_query
from gateway.web.query import check_word, read_limit, read_offset


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
        read_limit(values),
        read_offset(values),
    )
    found, total = await gw.ledger.outbox.page(wanted)
    if not total and team is not None:
        check_word("team", team, gw.policies.current.teams)
    more = wanted.offset + len(found) < total
    return json_response({"webhooks": [each.facts() for each in found], "has_more": more, "total": total})
