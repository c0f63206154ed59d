"""Sinks, one module per system."""
