"""Search: what is found and in which order, what must not be, and what it costs."""
