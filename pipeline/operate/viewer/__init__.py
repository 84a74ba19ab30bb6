"""What is known about one viewer: shown on demand, and forgotten on demand."""
