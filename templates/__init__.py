"""Templates: compiled once, rendered per customer in a sandbox."""
