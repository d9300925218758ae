"""Weights & Biases: one run a benchmark cell, one run a suite, and a logger for single trainings."""
