"""What the simulated people do: events as columns, before anybody puts them into words."""
