"""Whether everything is there and works, and what to do where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asp_utils.errors import AspError, EnvironmentMissing
from asp_utils.operation import operation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Annotated

    from pydantic import Field

    from asp_utils.checkup.check import Look
    from asp_utils.context import Context
    from asp_utils.model.parameters import Atlas, ConnectionPassword, ConnectionUser


@operation(effect="read")
def doctor(
    ctx: Context,
    atlas: Atlas = None,
    workspace: Annotated[
        str | None,
        Field(min_length=1, description="A workspace of the project, to be reached from here."),
    ] = None,
    stream_processor_url: Annotated[
        str | None,
        Field(min_length=1, description="Endpoint of a workspace, to sign in at: `local`, or …"),
    ] = None,
    connection_user: ConnectionUser = None,
    connection_password: ConnectionPassword = None,
    kafka: Annotated[
        dict[str, Any] | str | None,
        Field(description="A Kafka cluster to reach: `host:port`, or a Kafka connection's fields."),
    ] = None,
    timeout_s: Annotated[float, Field(gt=0, description="Seconds that Kafka has to answer.")] = 10,
) -> Iterator[dict[str, Any]]:
    """Look at interpreter, mongod, Kafka, credentials, roles, network and clock, one line each.

    Gives `{name, state, message, fix}`. `ok`: it works. `missing`: nobody asked for it, and `fix`
    says how to get it. `wrong`: it does not work as it is configured, and `fix` can be pasted.

    Raises:
        EnvironmentMissing: Something is wrong (exit 78); all lines were printed before.
    """
    from asp_utils.checkup.check import from_error
    from asp_utils.checkup.machine import machine_looks
    from asp_utils.checkup.services import atlas_looks, endpoint_looks, kafka_looks

    looks: list[Look] = [
        *machine_looks(ctx.root),
        *kafka_looks(ctx, kafka, timeout_s),
        *endpoint_looks(ctx, stream_processor_url, connection_user, connection_password),
        *atlas_looks(ctx, atlas, workspace),
    ]
    wrong = []
    for name, look in looks:
        try:
            for check in look():
                wrong += [check] if check.state == "wrong" else []
                yield check._asdict()
        except AspError as error:
            wrong.append(from_error(name, error))
            yield wrong[-1]._asdict()
    if wrong:
        raise EnvironmentMissing(
            f"{_failed(len(wrong))}: {', '.join(each.name for each in wrong)}",
            hint=wrong[0].fix if len(wrong) == 1 else "each line above has its own `fix`",
            details={"wrong": [each._asdict() for each in wrong]},
        )


def _failed(count: int) -> str:
    return "1 of these checks failed" if count == 1 else f"{count} of these checks failed"
