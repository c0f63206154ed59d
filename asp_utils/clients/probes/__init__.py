"""Trying a connection out from this machine: one module for each kind of other side."""
