"""Deltas in other projects' formats."""
