"""Objectives that learn a vector for a sentence from the sentences around it."""
