"""Resources of a project's stream processing, changed and read back over the Admin API."""
