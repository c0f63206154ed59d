"""The deployment that the parameter `mongodb_uri` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asp_utils.model.local_names import LOCAL
from asp_utils.workspace import running_instance

if TYPE_CHECKING:
    from asp_utils.clients.mongodb import Deployment
    from asp_utils.context import Context


def deployment(ctx: Context, uri: str, *, timeout_s: float | None) -> Deployment:
    """A connection to it; `local` starts the local instance when it does not run.

    Args:
        ctx: The call's surroundings.
        uri: `local` or a connection string.
        timeout_s: Seconds that one step may take; None for a change stream.

    Raises:
        ConfigInvalid: The string is none.
        Unreachable: DNS does not know the deployment.
        EnvironmentMissing: The local instance cannot be started.
    """
    # pymongo costs 90 ms, and only a call pays it.
    from asp_utils.clients.mongodb import Deployment

    where = running_instance(ctx).mongod_uri if uri == LOCAL else uri
    opened = Deployment(where, timeout_s=timeout_s)
    for ignored in opened.ignored:
        ctx.progress(f"warning: mongodb_uri: {ignored}")
    return opened
