"""Signing in with a browser: the admin token once, then a cookie that stands for it for half a day.

The cookie holds when it ends, and an HMAC of that under the token. Nothing is kept here: every worker can check it, and
it ends at once when the token is exchanged. Scripts cannot read it and other sites cannot send it.
"""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.core.errors import Code, Refusal
from gateway.web.admin.answers import gateway_of
from gateway.web.admin.page import page
from gateway.web.admin.token import AdminToken

COOKIE = "gmi_gateway_admin"
PATH = "/session"
LASTS = 12 * 3600
"""Seconds until one has to sign in again."""

_LARGEST_FORM = 512 * 1024


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form as browsers send it (application/x-www-form-urlencoded), the first of each name.

    Raises Refusal 413 for a large one, 400 for one that is not UTF-8.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise Refusal(Code.BODY_TOO_LARGE, f"The form is larger than {_LARGEST_FORM} bytes.", close=True)
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise Refusal(Code.INVALID_REQUEST, "This is not the form of one of these pages.") from None
    return {name: values[0] for name, values in fields.items()}


async def sign_in(request: Request) -> Response:
    """`POST /session`: the token in a form. Leads to the dashboard, or back to the form."""
    gw = gateway_of(request)
    token = AdminToken(gw.settings)
    presented = (await read_form(request)).get("token", "").strip().encode()
    if not token.required:
        return RedirectResponse("/", 303)
    if not token.admits(presented):
        return await sign_in_page(wrong=True)
    answer = RedirectResponse("/", 303)
    ends = int(gw.now()) + LASTS
    answer.set_cookie(COOKIE, token.sign(ends), max_age=LASTS, path="/", httponly=True, samesite="strict")
    return answer


async def sign_out(request: Request) -> Response:
    """`POST /session/end`: forget the cookie."""
    del request
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


async def sign_in_page(*, wrong: bool = False) -> Response:
    """The form that asks for the token."""
    return await page("sign_in.html", {"wrong": wrong, "signed_in": False}, 401)
