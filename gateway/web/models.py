"""The model routes: the catalogue as this team may see it."""

from urllib.parse import unquote_to_bytes

from gateway import catalogue
from gateway.cache import How
from gateway.core.access import is_model_id
from gateway.core.errors import Code, Refusal
from gateway.web.call import Call
from gateway.web.conditional import conditional_reply
from gateway.web.respond import Reply
from gateway.web.spans import link_shared


async def list_models(call: Call) -> Reply:
    """`GET …/models`: upstream's listing with `model_ids` filtered to what the caller may use."""
    return _reply(call, await catalogue.listing(call.gw, call.caller))


async def get_model(call: Call) -> Reply:
    """`GET …/models/{id}`: upstream's bytes for a model the caller may use."""
    try:
        model = unquote_to_bytes(call.identifier).decode()
    except UnicodeDecodeError:
        raise Refusal(Code.MODEL_NOT_FOUND, "There is no model with this id.") from None
    call.model = model if is_model_id(model) else ""
    return _reply(call, await catalogue.detail(call.gw, call.caller, model))


def _reply(call: Call, page: catalogue.Page) -> Reply:
    call.upstream_seconds = page.upstream_seconds
    if page.how is How.COLLAPSED:
        link_shared(call, page.span)
    return conditional_reply(call, page, page.etag, page.age, page.how)
