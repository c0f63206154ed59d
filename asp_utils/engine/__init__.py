"""The engine: runs a plan over sources, windows and sinks."""
