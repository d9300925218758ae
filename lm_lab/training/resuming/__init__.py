"""A run that stops keeps its place, and the same command goes on from there."""
