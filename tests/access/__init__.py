"""Who may do what: the declared policy against the catalogue, by doing, and under attack."""
