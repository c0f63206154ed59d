"""Joins with collections of clusters."""
