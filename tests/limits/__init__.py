"""Rate limits: buckets, whose they are, and what a caller without tokens is told."""
