"""Whole-environment files: what they say, how they differ from what exists, what is to be done."""
