"""The states of a stream processor, in the words of the wire and of the Admin API.

Atlas may show others on the way (INIT, CREATING, VALIDATING): what is in neither group below is on
its way somewhere.

Source: Atlas page "Manage stream processors"; asp-reference.md 1.9.
"""

from __future__ import annotations

from typing import Final

CREATED: Final = "CREATED"
PROVISIONING: Final = "PROVISIONING"
STARTED: Final = "STARTED"
STOPPING: Final = "STOPPING"
STOPPED: Final = "STOPPED"
FAILED: Final = "FAILED"
DROPPED: Final = "DROPPED"
"""It is gone; Atlas may still show it for a while."""

RUNNING_STATES: Final = (STARTED, PROVISIONING)
"""States in which a processor is meant to run; the local instance brings such a one back."""
BILLED_STATES: Final = (*RUNNING_STATES, STOPPING)
"""States in which a processor may be billed; Atlas says "while it runs"."""
IDLE_STATES: Final = (CREATED, STOPPED, FAILED, DROPPED)
"""States in which a processor does not run and is not about to."""
STATES: Final = (CREATED, PROVISIONING, STARTED, STOPPING, STOPPED, FAILED, DROPPED)
"""All states, in the order of a processor's life."""
