"""The deployable HTTP functions, one file each: a table of routes, and what they add to the log."""
