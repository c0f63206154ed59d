"""`/api/oauth/token` and `/api/oauth/revoke`: access tokens for the service account.

Source: asp-reference.md 4.7; peers.md 2.1 and 2.2; RFC 6749 (4.4, 5.2), RFC 7009.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse

from asp_utils.server.admin.access import basic_credentials, check_origin, unescaped
from asp_utils.server.admin.bodies import read_body
from asp_utils.server.admin.failures import ApiFailure
from asp_utils.server.admin.tokens import LIFETIME_S

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from asp_utils.server.admin.access import Access

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES: Final = 64 * 1024
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuth:
    """The two endpoints; each takes a form and names the service account.

    Args:
        access: Knows the service account and keeps the tokens.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def token(self, request: Request) -> Response:
        """Give a token for the grant `client_credentials`."""
        form = await self._form(request)
        grant = form.get("grant_type")
        if grant != "client_credentials":
            raise _Refusal(
                "unsupported_grant_type" if grant else "invalid_request",
                "grant_type must be client_credentials",
            )
        body = {
            "access_token": self._access.tokens.issue(),
            "expires_in": LIFETIME_S,
            "token_type": "Bearer",
        }
        return JSONResponse(body, headers=_NO_STORE)

    async def revoke(self, request: Request) -> Response:
        """Make a token invalid."""
        form = await self._form(request)
        if "token" not in form:
            raise _Refusal("invalid_request", "token is missing")
        self._access.tokens.revoke(form["token"])
        return JSONResponse({}, headers=_NO_STORE)

    async def _form(self, request: Request) -> dict[str, str]:
        """The fields of the body, once the service account has been found in order."""
        check_origin(request)
        if request.method != "POST":
            detail = f"{request.url.path} takes POST, not {request.method}."
            raise ApiFailure(405, "METHOD_NOT_ALLOWED", detail, headers={"Allow": "POST"})
        content_type = request.headers.get("content-type", _FORM).partition(";")[0].strip().lower()
        if content_type != _FORM:
            raise _Refusal("invalid_request", f"the body must be {_FORM}")
        body = await read_body(request, _MAX_FORM_BYTES)
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        given = basic_credentials(request.headers.get("authorization", ""))
        given = given or (form.get("client_id", ""), form.get("client_secret", ""))
        known = self._access.is_service_account
        if not known(*given) and not known(*unescaped(given)):
            raise _Refusal("invalid_client", "the client id or its secret is wrong")
        return form


class _Refusal(ApiFailure):
    """The error body of RFC 6749, with Atlas' own words beside it."""

    def __init__(self, error: str, description: str) -> None:
        wrong_client = error == "invalid_client"
        headers = {"WWW-Authenticate": 'Basic realm="oauth"'} if wrong_client else {}
        super().__init__(
            HTTPStatus.UNAUTHORIZED if wrong_client else HTTPStatus.BAD_REQUEST,
            error.upper(),
            description,
            headers={**_NO_STORE, **headers},
        )
        self._error = error

    def document(self) -> dict[str, Any]:
        """`error` is a word here, where it is the status elsewhere."""
        body = {**super().document(), "error": self._error}
        return {**body, "error_description": self.message}
