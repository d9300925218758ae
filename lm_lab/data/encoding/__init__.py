"""Rows as tokens, and batches of them."""
