"""Whole-environment files against a live project: read, planned, applied, written."""
