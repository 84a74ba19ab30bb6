"""What the simulated people do: events as columns, before they become text."""
