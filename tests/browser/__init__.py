"""The course player in a real browser."""
