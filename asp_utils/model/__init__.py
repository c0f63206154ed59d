"""Frozen data shapes without I/O."""
