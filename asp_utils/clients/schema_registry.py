"""A Confluent schema registry over its REST API; `clients.http` sends the requests.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from asp_utils.clients.http import HttpPool, HttpReply, HttpRequest, UnsendableRequest
from asp_utils.errors import (
    Conflict,
    NotFound,
    PermissionDenied,
    TimedOut,
    UnexpectedReply,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_MEDIA_TYPE: Final = b"application/vnd.schemaregistry.v1+json"
_CONNECT_TIMEOUT_S: Final = 5.0
_REQUEST_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True)
class Reference:
    """Another schema that a schema uses types of."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class RegisteredSchema:
    """A schema as the registry keeps it."""

    text: str
    kind: str
    """AVRO, JSON or PROTOBUF."""
    references: tuple[Reference, ...] = ()


class SchemaRegistry:
    """Registers and finds schemas.

    Args:
        urls: Servers of one registry; one that does not answer gives way to the next.
        credentials: Username and password; None where the registry asks for none.
    """

    def __init__(self, urls: Sequence[str], credentials: tuple[str, str] | None = None) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._pool = HttpPool(1, _CONNECT_TIMEOUT_S, _REQUEST_TIMEOUT_S)
        self._headers = [(b"Accept", _MEDIA_TYPE), (b"Content-Type", _MEDIA_TYPE)]
        if credentials is not None:
            pair = base64.b64encode(":".join(credentials).encode())
            self._headers.append((b"Authorization", b"Basic " + pair))

    def register(self, subject: str, schema: str) -> int:
        """The id of a schema, registered below the subject if it is not yet.

        Raises:
            Conflict: The registry refuses the schema, as it is incompatible or invalid.
            Unreachable, PermissionDenied, UnexpectedReply: As for every method here.
        """
        path = f"{_subject(subject)}/versions"
        return int(self._ask("POST", path, "id", {"schema": schema})["id"])

    def find(self, subject: str, schema: str) -> int:
        """The id of a schema that is registered below the subject.

        Raises:
            NotFound: It is not.
        """
        return int(self._ask("POST", _subject(subject), "id", {"schema": schema})["id"])

    def schema(self, schema_id: int) -> RegisteredSchema:
        """The schema of an id.

        Raises:
            NotFound: There is none.
        """
        return _schema_of(self._ask("GET", f"/schemas/ids/{schema_id}", "schema"))

    def version(self, subject: str, version: int) -> RegisteredSchema:
        """The schema of a subject's version.

        Raises:
            NotFound: There is none.
        """
        return _schema_of(self._ask("GET", f"{_subject(subject)}/versions/{version}", "schema"))

    def subjects(self) -> list[str]:
        """The names of all subjects."""
        return [str(subject) for subject in self._ask("GET", "/subjects", "")]

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _ask(self, method: str, path: str, wanted: str, body: Any = None) -> Any:
        """The answer of the first server that gives one; it is asked first from then on.

        `wanted` is the field that an answer must have; empty for one that is a list.
        """
        content = None if body is None else orjson.dumps(body)
        silent: list[str] = []
        for index, url in enumerate(self._urls):
            try:
                reply = self._pool.send(HttpRequest(method, url + path, self._headers, content))
            except (Unreachable, TimedOut, UnsendableRequest) as error:
                silent.append(f"{url}: {error}")
                continue
            if reply.status >= 500:
                silent.append(f"{url}: {_words(reply)}")
                continue
            self._urls.insert(0, self._urls.pop(index))
            return _answer(reply, f"{method} {url}{path}", wanted)
        raise Unreachable(f"the schema registry does not answer ({'; '.join(silent)})")


def _subject(subject: str) -> str:
    return f"/subjects/{quote(subject, safe='')}"


def _answer(reply: HttpReply, asked: str, wanted: str) -> Any:
    if reply.status == 200:
        try:
            answer = orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise UnexpectedReply(f"{asked}: the reply is no JSON: {error}") from error
        if isinstance(answer, dict) and wanted and wanted in answer:
            return answer
        if isinstance(answer, list) and not wanted:
            return answer
        raise UnexpectedReply(f"{asked}: the reply holds no {wanted or 'list'}")
    message = f"{asked}: {_words(reply)}"
    match reply.status:
        case 401 | 403:
            raise PermissionDenied(f"the schema registry refused: {message}")
        case 404:
            raise NotFound(message)
        case 409 | 422:
            raise Conflict(message)
        case _:
            raise UnexpectedReply(message)


def _words(reply: HttpReply) -> str:
    """What the registry says about a request that failed."""
    try:
        return f"{reply.status} {orjson.loads(reply.body)['message']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{reply.status} {reply.phrase}"


def _schema_of(reply: Any) -> RegisteredSchema:
    references = tuple(
        Reference(item["name"], item["subject"], item["version"])
        for item in reply.get("references") or ()
    )
    return RegisteredSchema(reply["schema"], reply.get("schemaType", "AVRO"), references)
