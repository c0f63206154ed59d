"""Fields of the Admin API's connections that are treated in their own way."""

from __future__ import annotations

from typing import Final

READ_ONLY: Final = ("id", "_id", "state", "links")
"""What the Admin API shows of a connection and does not take back."""
WHOLE_MAPS: Final = ("config", "headers")
"""Maps of which every key counts: what is not in them is to be gone."""
