"""Precision, memory, processes: what differs from machine to machine."""
