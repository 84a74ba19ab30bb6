"""What the simulated network does wrong on purpose: malformed records and broken connections."""
