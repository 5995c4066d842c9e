"""Sweeps over the database's catalogue, so that what is new is covered without being listed."""
