"""The local instance: wire protocol endpoint, commands, supervisor."""
