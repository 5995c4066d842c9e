"""Benchmarks: what a call costs through each door, and one completion in the database."""
