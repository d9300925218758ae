"""Means of a step and of an epoch over what they are means of, and what a loss has to beat."""
