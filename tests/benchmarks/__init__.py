"""Benchmarks: both sides in one process class, alternating, medians, and a ratio with its interval."""
