"""Operations as this toolkit writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from asp_utils import errors
from asp_utils.errors import Fault
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Annotated

    from pydantic import Field, SecretStr

    from asp_utils.context import Context

    Text = Annotated[str, Field(description="Some text.", examples=["hello"], min_length=1)]
    Times = Annotated[int, Field(description="How often.", ge=1, le=1000)]


class Echo(TypedDict):
    """What was said."""

    words: list[str]
    """The text, as often as wished."""
    note: str | None
    """The note; null without one."""


def _checks(parameters: dict[str, Any]) -> list[str | Fault]:
    if parameters["text"] == "forbidden":
        return [Fault("$.text", "may not be said")]
    return ["the text may be said"]


@operation(effect="read", preview=_checks)
def echo(
    ctx: Context,
    text: Text,
    times: Times = 1,
    note: Annotated[str | None, Field(description="A note.")] = None,
    mood: Annotated[Literal["glad", "sad"], Field(description="In which mood.")] = "glad",
    share: Annotated[float, Field(description="A part of it.")] = 0.5,
) -> Echo:
    """Say something again.

    Raises:
        NotFound: Never, but it is documented.
    """
    ctx.progress(f"saying {text}")
    return {"words": [text] * times, "note": note}


@operation(effect="test")
def count(
    ctx: Context,
    until: Annotated[int | None, Field(description="Stop after this number.")] = None,
    farewell: Annotated[str | None, Field(description="File to write at the end.")] = None,
    pause_s: Annotated[float, Field(description="Wait before each number.")] = 0,
) -> Iterator[dict[str, int]]:
    """Count, and take leave whatever happens."""
    number = 0
    try:
        while until is None or number < until:
            if ctx.wait(pause_s):
                return
            number += 1
            yield {"number": number}
    finally:
        if farewell is not None:
            with ctx.undisturbed(), Path(farewell).open("a", encoding="utf-8") as file:
                file.write("farewell\n")


@operation(effect="write")
def reveal(
    token: Annotated[SecretStr | None, Field(description="A secret.")] = None,
    place: Annotated[str, Field(description="A URL.")] = "local",
    fail: Annotated[bool, Field(description="Put the secret into an error.")] = False,
) -> dict[str, Any]:
    """Try to give a secret away."""
    secret = token.get_secret_value() if token is not None else ""
    if fail:
        raise RuntimeError(f"the token {secret} is wrong")
    return {"token": secret, secret: [len(secret)], "place": place}


@operation(effect="destroy")
def fail(
    kind: Annotated[str, Field(description="Class of asp_utils.errors.")],
) -> dict[str, Any]:
    """Fail in a given way."""
    if kind in ("ConfigInvalid", "PipelineInvalid"):
        raise getattr(errors, kind)("pipeline", [Fault("$.a", "is wrong"), Fault("$.b", "too")])
    raise getattr(errors, kind)(f"it is a {kind}", hint="do better", path="$.kind")


@operation(effect="read")
def nothing() -> list[int]:
    """Take nothing, give a list."""
    return [1, 2]
