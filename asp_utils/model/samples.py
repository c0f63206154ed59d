"""The sample streams, by the names that a connection of type Sample selects them with.

Source: Atlas page "Manage connections" (`sample_stream_solar`); the others are named publicly only
(asp-reference.md 2.6). The engine has one module for each in `engine/sources/samples/`.
"""

from __future__ import annotations

from typing import Final

SOLAR: Final = "sample_stream_solar"
"""The one that a workspace can be made with (`sampleConnections.solar`)."""
SAMPLE_NAMES: Final = (
    SOLAR,
    "samplestock",
    "sampleweather",
    "sampleiot",
    "samplelog",
    "samplecommerce",
)
"""Every sample there is."""
