"""Stages, one module per kind."""
