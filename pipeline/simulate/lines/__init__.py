"""Events as Jetstream lines, byte for byte as the real network sends them."""
