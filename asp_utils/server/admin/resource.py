"""One resource of the Admin API: lets callers in, picks version and handler, sends the reply."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from asp_utils import ejson
from asp_utils.errors import AspError, Fault
from asp_utils.model.local_names import LOCAL
from asp_utils.server.admin.access import check_origin
from asp_utils.server.admin.exchange import Action, Call, Download
from asp_utils.server.admin.failures import ApiFailure, failure_of, invalid, not_found
from asp_utils.server.admin.media import media_type, resolve
from asp_utils.server.admin.paging import PAGING_PARAMETERS, Paging, read_flag
from asp_utils.server.audit import Deed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from asp_utils.server.admin.access import Access
    from asp_utils.server.admin.exchange import Answer, Services
    from asp_utils.server.admin.rate import RateLimiter

_COMMON: Final = ("envelope", "pretty")
_log = logging.getLogger(__name__)
_NO_CONTENT: Final = 204


class Gate:
    """What every resource asks before it answers.

    Args:
        access: Tells callers apart.
        limiter: Counts their requests.
        services: What handlers work with.
    """

    def __init__(self, access: Access, limiter: RateLimiter, services: Services) -> None:
        self._access = access
        self._limiter = limiter
        self.services = services

    def let_in(self, request: Request) -> Call:
        """The call of a known caller that has not asked too often.

        Raises:
            ApiFailure: 401, 403, 404 for another project, or 429.
        """
        check_origin(request)
        user = self._access.caller_of(request)
        request.state.headers = self._limiter.take(user)
        return Call(request, self.services, user)


class Resource:
    """One path, as an ASGI application.

    Args:
        gate: Lets callers in.
        actions: By method.
        is_open: Whether it answers everybody on this machine.
    """

    def __init__(self, gate: Gate, actions: Mapping[str, Action], *, is_open: bool = False) -> None:
        self._gate = gate
        self._actions = actions
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if self._is_open:
            check_origin(request)
            call = Call(request, self._gate.services, "")
        else:
            call = self._gate.let_in(request)
        action = self._action(request)
        self._check_project(call)
        _check_query(request, action)
        version = resolve(request.headers.get("accept"), [action.version], action.suffix)
        if version is None:
            raise _not_acceptable(action)
        answer = await _carry_out(action, call)
        return _response(request, action, version, answer)

    def _action(self, request: Request) -> Action:
        if not self._actions:
            raise not_found(request.url.path)
        action = self._actions.get(request.method)
        if action is None:
            allowed = ", ".join(self._actions)
            raise ApiFailure(
                405,
                "METHOD_NOT_ALLOWED",
                f"{request.url.path} takes {allowed}, not {request.method}.",
                parameters=[request.method],
                headers={"Allow": allowed},
            )
        return action

    def _check_project(self, call: Call) -> None:
        wanted = call.path.get("groupId")
        if wanted not in (None, call.workspaces.project_id):
            detail = f"No project with ID {wanted} exists."
            raise ApiFailure(404, "GROUP_NOT_FOUND", detail, parameters=[str(wanted)])


def render_failure(request: Request, error: AspError) -> Response:
    """The reply that tells a client of an error."""
    failure = failure_of(error)
    document = failure.document()
    headers = {**getattr(request.state, "headers", {}), **failure.headers}
    return Response(
        _encoded(request, failure.status, document),
        failure.status,
        headers,
        media_type="application/json",
    )


async def _carry_out(action: Action, call: Call) -> Answer:
    """Call the handler; a change is noted in an audit log, one that was refused too."""
    if not action.activity:
        return await action.handle(call)
    error = "UNEXPECTED_ERROR"
    try:
        answer = await action.handle(call)
        error = ""
    except AspError as refusal:
        error = failure_of(refusal).error_code
        raise
    finally:
        _note(action, call, error)
    return answer


def _note(action: Action, call: Call, error: str) -> None:
    """Note a change with its workspace; what belongs to none that is there, with `local`."""
    names = {key: value for key, value in call.path.items() if key != "groupId"}
    workspace = call.workspaces.find(names.get("tenantName", "")) or call.workspaces.get(LOCAL)
    deed = Deed(
        operation=f"{call.request.method} {call.request.url.path}",
        activity=action.activity,
        user=call.user,
        address=call.caller.address,
        resource=next(reversed(names.values()), ""),
        processor=names.get("processorName", ""),
        error=error,
    )
    try:
        workspace.parts.audit.note(deed)
    except OSError:
        _log.exception("the audit log of %s cannot be written", workspace.record.name)


def _response(request: Request, action: Action, version: str, answer: Answer) -> Response:
    headers = dict(getattr(request.state, "headers", {}))
    content_type = media_type(version, action.suffix)
    if isinstance(answer, Download):
        headers["Content-Disposition"] = f'attachment; filename="{answer.filename}"'
        return Response(answer.content, action.status, headers, media_type=content_type)
    if answer is None:
        if action.status != _NO_CONTENT:
            headers["Content-Type"] = content_type
        return Response(b"", action.status, headers)
    if isinstance(answer, list):
        answer = Paging.of(request.query_params).page(answer, request.url)
    body = _encoded(request, action.status, answer)
    return Response(body, action.status, headers, media_type=content_type)


def _encoded(request: Request, status: int, document: dict[str, Any]) -> bytes:
    if request.query_params.get("envelope") == "true":
        document = {"status": status, "content": document}
    return ejson.dumps(document, pretty=request.query_params.get("pretty") == "true")


def _check_query(request: Request, action: Action) -> None:
    """Refuse parameters that mean nothing here, before anything is done.

    Raises:
        ApiFailure: 400.
    """
    known = (*_COMMON, *action.query, *(PAGING_PARAMETERS if action.is_list else ()))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise ApiFailure(
            400,
            "INVALID_QUERY_PARAMETER",
            f"Invalid query parameter {', '.join(unknown)} specified.",
            parameters=unknown,
        )
    faults: list[Fault] = []
    for name in _COMMON:
        read_flag(request.query_params, name, faults=faults)
    if faults:
        raise invalid(faults)
    if action.is_list:
        Paging.of(request.query_params)


def _not_acceptable(action: Action) -> ApiFailure:
    oldest = media_type(action.version, action.suffix).partition(";")[0]
    detail = f"The header Accept allows no version of this resource: ask for {oldest} or later."
    return ApiFailure(406, "INVALID_VERSION_DATE", detail, parameters=[action.version])
