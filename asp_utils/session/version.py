"""The version that records name. A constant: reading package metadata costs 15 ms a run."""

from __future__ import annotations

from typing import Final

TOOL_VERSION: Final = "0.1.0"
"""Equal to the version in pyproject.toml (a test compares them)."""
