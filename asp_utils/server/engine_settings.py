"""Settings of the engine that hold for every processor of a local instance, kept in mongod.

They are the local instance's own: a processor's options stay those that Atlas knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asp_utils.clients.metadata import MetadataStore

_SETTINGS: Final = "settings"
_ENGINE: Final = "engine"


class EngineSettings:
    """What `engine.…` settings say."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    async def set_exactly_once(self, *, wanted: bool) -> None:
        """Say whether output and checkpoint are committed together where that is possible.

        It holds for workers that are started from now on.
        """
        await self._store.put(_SETTINGS, {"_id": _ENGINE, "exactlyOnce": wanted})

    async def worker_options(self) -> dict[str, Any]:
        """The options of a worker that follow from the settings."""
        found = await self._store.find_one(_SETTINGS, {"_id": _ENGINE})
        return {"exactlyOnce": found["exactlyOnce"]} if found else {}
