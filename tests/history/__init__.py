"""The history: what it tells, its replay, its readers, and its months."""
