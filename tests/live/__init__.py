"""Live updates: what is broadcast, who hears it, and that it never stands in anybody's way."""
